# SPDX-License-Identifier: MIT
"""The puppet server's strings: shape_puppet.c does one system call for each order, and says when it did.

A Talk is one connection to it, both of whose ends are in the test's hand.
"""
import collections
import itertools
import os
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import build  # noqa: E402  (its directory is known only now)

build.PARTS["shape_puppet"] = (["servers/shape_puppet.c", "servers/shape_ways.c", "servers/shape_uring.c",
                                "servers/shape_serve.c", "servers/shape_puppet.h"], ["-pthread"])
WAIT_S = 15
LINE_BYTES = 512

# One order's outcome; before and after are CLOCK_MONOTONIC ns around the system call, cpu what the thread ran in all
# since it began to wait for the order, others what the process's other threads had ever run before the call.
Answer = collections.namedtuple("Answer", "result errno before after cpu others tid extra")
# That takes 50 us at most. More, and the machine's host was away or an interrupt came; the agent, which must not know
# better than the thread's clock, calls a row exact up to 300 us (EXACT_WITHIN_NS) on one wait. So it does where a loop has
# slept before it answers, and the process's other threads have run no longer meanwhile: each order costs them some.
DISTURBED_NS = 200000


class PuppetError(Exception):
    """An order failed, or the puppet is silent."""


class Puppet:
    """A running puppet. A context manager; ends only what it started."""

    def __init__(self, prefix=()):
        self.process = subprocess.Popen([*prefix, build.part("shape_puppet")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)
        self.answers, self.said = {}, threading.Condition()
        self.disturbed = 0  # orders that took too much CPU time, and loops' answers beside too much of others'
        self.writing = threading.Lock()
        self.numbers, self.threads = itertools.count(1), itertools.cycle(range(1, 48))
        line = self.process.stdout.readline().split()
        if line[:1] != [b"ready"]:
            raise PuppetError("the puppet did not start")
        self.pid = int(line[1])
        self.listener = threading.Thread(target=self.listen_to_answers, daemon=True)
        self.listener.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Closes its stdin, at which it ends, and waits."""
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # Forked parts end by themselves when their pipes do; only then is stdout at its end.
        self.listener.join(10)
        self.process.stdout.close()

    def listen_to_answers(self):
        """Puts what the puppet says where result() looks."""
        with os.fdopen(os.dup(self.process.stdout.fileno()), "rb") as lines:
            for line in lines:
                number, *figures, extra = line.split()
                with self.said:
                    self.answers[int(number)] = answer = Answer(*map(int, figures), extra.decode())
                    self.disturbed += answer.cpu > DISTURBED_NS
                    self.said.notify_all()

    def begin(self, worker, op, *arguments, data=b""):
        """Gives an order and does not wait; the number by which result() knows it."""
        number = next(self.numbers)
        words = [number, worker, op, *arguments] + (["#%d" % len(data)] if data else [])
        line = (" ".join(map(str, words)) + "\n").encode()
        if len(line) >= LINE_BYTES:
            raise PuppetError("order too long")
        view = memoryview(line + data)
        with self.writing:
            while view:
                view = view[self.process.stdin.write(view):]
        return number

    def result(self, number, may_fail=False):
        """The Answer to an order; raises PuppetError when it failed, unless that is asked for."""
        with self.said:
            if not self.said.wait_for(lambda: number in self.answers, WAIT_S):
                raise PuppetError("no answer to order %d" % number)
            answer = self.answers.pop(number)
        if answer.result < 0 and not may_fail:
            raise PuppetError("order %d: %s" % (number, os.strerror(answer.errno)))
        return answer

    def first(self, numbers):
        """Waits for one of several orders: its number; result() has its Answer."""
        with self.said:
            found = self.said.wait_for(lambda: [number for number in numbers if number in self.answers], WAIT_S)
        if not found:
            raise PuppetError("no answer to any of %d orders" % len(numbers))
        return found[0]

    def do(self, worker, op, *arguments, data=b"", may_fail=False):
        """Gives an order and waits for its Answer, and until its thread waits for the next one: what a thread does after
        a wait and what it goes on with are not the same to the agent."""
        answer = self.result(self.begin(worker, op, *arguments, data=data), may_fail)
        end = time.monotonic() + WAIT_S
        while not self.rests(answer.tid):
            if time.monotonic() > end:
                raise PuppetError("thread %d goes on and on after %s" % (answer.tid, op))
            time.sleep(0.0005)
        return answer

    def rests(self, tid):
        """Does the thread sleep, or is it gone, or another process's?"""
        try:
            with open("/proc/%d/task/%d/stat" % (self.pid, tid), encoding="ascii", errors="replace") as stat:
                return stat.read().rpartition(")")[2].split()[0] not in "RD"
        except OSError:
            return True

    def listen(self, kind="tcp4", name="0", worker="t0", *more):
        """A listening socket: (its descriptor, the endpoint that reach() takes)."""
        answer = self.do(worker, "listen", kind, name, *more)
        return answer.result, (kind, name if kind in ("unix", "abstract") else int(answer.extra))

    def next_worker(self, style):
        """The worker for a new connection: a thread of its own, or the one loop."""
        return "l62" if style == "loop" else "t%d" % next(self.threads)


def reach(endpoint):
    """A connected client socket. endpoint: as Puppet.listen gives it."""
    kind, name = endpoint
    if kind in ("unix", "abstract"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(WAIT_S)
        sock.connect(("\0" + name if kind == "abstract" else name))
        return sock
    sock = socket.create_connection(("127.0.0.1" if kind == "tcp4" else "::1", name), WAIT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Talk:
    """One connection: what the client does (say, get, hang_up…) and what the server's worker does (hear, answer…).

    style: "thread" (a worker of its own; another accepts) or "loop" (one worker for everything, in epoll_wait).
    """

    def __init__(self, puppet, listener, style="thread", accept="accept4", worker=None):
        self.puppet, self.style = puppet, style
        descriptor, endpoint = listener
        self.worker, self.waiter = worker or puppet.next_worker(style), "t63"
        order = puppet.begin("l62" if style == "loop" else "t0", "accept", descriptor, accept)
        self.sock = reach(endpoint)
        self.fd = puppet.result(order).result
        self.closed = False
        self.marks = []  # (before, after) of every read that brought something and every write
        self.others = None  # what other threads had run when the request that is unanswered began

    # The client.

    def say(self, data):
        """Sends all of data."""
        self.sock.sendall(data)

    def get(self, n):
        """Exactly n bytes from the server."""
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise PuppetError("the server closed after %d of %d bytes" % (len(data), n))
            data += part
        return data

    def moves_to(self, worker, fd=None):
        """Another process's worker serves it from here on; waiting is its, too, for nobody else has the descriptor."""
        self.worker = self.waiter = worker
        self.fd = self.fd if fd is None else fd

    def half_close(self):
        """The client will send nothing more, and reads on."""
        self.sock.shutdown(socket.SHUT_WR)

    def hang_up(self, reset=False):
        """The client closes, by RST when told."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    # The server.

    def do(self, op, *arguments, **options):
        """An order for this connection's worker."""
        return self.puppet.do(self.worker, op, *arguments, **options)

    def await_bytes(self, n):
        """Waits, on a thread that is at no edge if there is one, until n bytes lie unread in the server's socket."""
        self.puppet.do(self.waiter, "await", self.fd, n)

    def hear(self, n, way="recv"):
        """One read of exactly n bytes, which are there already; its Answer."""
        self.await_bytes(n)
        answer = self.do("in", way, self.fd, n)
        if answer.result != n:
            raise PuppetError("%s read %d of %d bytes" % (way, answer.result, n))
        if way != "peek":
            self.marks.append((answer.before, answer.after))
            self.others = answer.others if self.others is None else self.others
        return answer

    def hear_end(self):
        """One read that finds the end of the stream."""
        self.puppet.do(self.waiter, "gone", self.fd)
        answer = self.do("in", "recv", self.fd, 100, may_fail=True)
        if answer.result > 0:
            raise PuppetError("%d bytes where the end was due" % answer.result)

    def answer(self, data, way="send", fd=None):
        """One write of all of data; its Answer."""
        answer = self.do("out", way, self.fd if fd is None else fd, data=data)
        if answer.result != len(data):
            raise PuppetError("%s wrote %d of %d bytes" % (way, answer.result, len(data)))
        self.marks.append((answer.before, answer.after))
        if self.style == "loop" and self.others is not None and answer.others - self.others > DISTURBED_NS:
            self.puppet.disturbed += 1
        self.others = None
        return answer

    def exchange(self, request, response, way_in="recv", way_out="send"):
        """A request in one read and its response in one write."""
        self.say(request)
        self.hear(len(request), way_in)
        self.answer(response, way_out)
        return self.get(len(response))

    def close_server(self, reset=False):
        """The server closes, by RST when told."""
        self.closed = True
        self.do("reset" if reset else "close", self.fd)

    def close(self):
        """The server closes, then the client."""
        self.close_server()
        self.sock.close()

    def abandon(self):
        """Whatever a test left open is closed; a descriptor in another process goes with that."""
        self.sock.close()
        if not self.closed and self.waiter == "t63":
            self.puppet.do("t63", "close", self.fd, may_fail=True)

    def span(self, first=0, last=-1):
        """(least, most) ns between the ends of two of the marks: what a duration may be."""
        (before, after), (last_before, last_after) = self.marks[first], self.marks[last]
        return max(0, last_before - after), last_after - before
