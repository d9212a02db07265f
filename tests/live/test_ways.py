# SPDX-License-Identifier: MIT
"""All ways by which bytes come into a server and leave it, and by which connections change hands.

The server is a puppet (servers/shape_puppet.c). A way whose bytes the kernel side cannot look at has a row all the
same, which says so: no path and `inferred` where the head is out of sight, no status where the response is.
"""
import itertools
import os
import sys
import tempfile
import unittest

import agent

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "servers"))

from shape_puppet import Puppet, Talk, reach  # noqa: E402
from shape_rows import Rows, Want  # noqa: E402

NAMES = ("way%d-%d" % (os.getpid(), number) for number in itertools.count())
MS = 1000000
METER = PUPPET = DIRECTORY = None
LISTENERS = {}

# The head is seen: as if read by read().
SEEN_IN = ("read", "readv", "readv-second", "readv-split", "recv", "recvfrom", "recvmsg", "recvmmsg")
# Spliced bytes pass no buffer; of several messages it is not known which one arrived; io_uring has no system call of
# its own whose registers tell.
UNSEEN_IN = ("splice", "recvmmsg-two", "uring")
SEEN_OUT = ("write", "writev", "writev-second", "writev-split", "writev-lines", "send", "sendto", "sendmsg", "sendmmsg")
UNSEEN_OUT = ("sendfile", "splice", "sendmmsg-two", "uring")


def setUpModule():
    """One puppet that listens on every family, and one agent."""
    global METER, PUPPET, DIRECTORY
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    DIRECTORY = tempfile.TemporaryDirectory(prefix="reqmeter-")
    PUPPET = Puppet()
    LISTENERS.update(listen_all(PUPPET, "a"))
    METER = agent.Agent("--scope", "pid:%d" % os.getpid())


def tearDownModule():
    """The agent must have survived it all."""
    PUPPET.stop()
    DIRECTORY.cleanup()
    code = METER.stop()
    if code:
        raise RuntimeError("the agent ended with %d" % code)


def listen_all(puppet, name):
    """A listening socket of each family; the loopback has no IPv6 on some machines."""
    found = {"tcp4": puppet.listen(), "unix": puppet.listen("unix", os.path.join(DIRECTORY.name, name)),
             "abstract": puppet.listen("abstract", "reqmeter-%d-%s" % (os.getpid(), name))}
    if os.path.exists("/proc/sys/net/ipv6/conf/lo/disable_ipv6"):
        found["tcp6"] = puppet.listen("tcp6")
    return found


def head(name, path="/", method="GET", *fields):
    """A request's head with an id."""
    return ("\r\n".join(["%s %s HTTP/1.1" % (method, path), "X-Request-ID: " + name, *fields]) + "\r\n\r\n").encode()


def response(body=b"ok"):
    """A response with a Content-Length."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


OK = response()


class Ways(unittest.TestCase):
    """What all tests share."""

    def setUp(self):
        """Nothing is left over from the test before."""
        self.rows = self.rows_of(PUPPET.pid)
        self.addCleanup(self.close_all)
        self.open = []

    def rows_of(self, *pids):
        """Rows of these processes that do not exist yet."""
        rows = Rows(METER, *pids)
        rows.seen = {row["handle"] for found in rows.new() for row in found}
        return rows

    def close_all(self):
        """Closes what a failed test left open."""
        for talk in self.open:
            talk.abandon()

    def talk(self, family="tcp4", **options):
        """A new connection."""
        talk = Talk(PUPPET, LISTENERS[family], **options)
        self.open.append(talk)
        return talk

    def end(self, talk):
        """The server closes, then the client."""
        self.open.remove(talk)
        talk.close()

    def check(self, *wants, rows=None):
        """Exactly these rows, as they should be."""
        lines = (rows or self.rows).mismatches(wants)
        if lines:
            self.fail("\n  " + "\n  ".join(lines))

    def is_guessed(self, way, family):
        """Without fexit reads by splice from Unix sockets are guessed, without their size; the feature says so. A thread
        that splices is never exact there."""
        splice = next(row for row in METER.stats(sections="agent")["agent"]["features"] if row["name"] == "splice")
        self.assertEqual("on", splice["state"], splice["reason"])
        return (way, family) == ("splice", "unix") and "guessed" in splice["reason"]

    def unread(self, n, **want):
        """The one row of a request whose head was out of sight; its id is made up."""
        ended, _ = self.rows.take(1)
        self.assertEqual(1, len(ended), "one row")
        self.assertEqual("generated", ended[0]["id_source"])
        differences = Want(ended[0]["id"], method=Want.NULL, path=Want.NULL, received=n, confidence="inferred",
                           **want).differences(ended[0])
        self.assertFalse(differences, differences)


class In(Ways):
    """Reads."""

    def way_in(self, way, family="tcp4"):
        """Two requests on a connection, the second with a body in a read of its own."""
        talk, names = self.talk(family), [next(NAMES), next(NAMES)]
        top = head(names[1], "/b", "POST", "Content-Length: 5000")
        talk.exchange(head(names[0], "/a"), OK, way)
        talk.say(top + b"B" * 5000)
        talk.hear(len(top), way)
        talk.hear(5000, way)
        talk.answer(OK)
        self.end(talk)
        return (Want(names[0], path="/a", received=len(head(names[0], "/a")), sent=len(OK), span=talk.span(0, 1)),
                Want(names[1], "POST", "/b", received=len(top) + 5000, sent=len(OK), span=talk.span(2)))

    def test_seen(self):
        """Each system call that reads into memory, TCP."""
        for way in SEEN_IN:
            with self.subTest(way=way):
                self.check(*self.way_in(way))

    def test_seen_on_unix_sockets(self):
        """The same on Unix sockets."""
        for way in SEEN_IN:
            with self.subTest(way=way):
                self.check(*self.way_in(way, "unix"))

    def test_unseen(self):
        """Where the bytes are out of sight the request has its row, with no path, `inferred`; and it is counted."""
        for way, family in itertools.product(UNSEEN_IN, ("tcp4", "unix")):
            with self.subTest(way=way, family=family):
                talk, data, guessed = self.talk(family), head("unseen"), self.is_guessed(way, family)
                if guessed:  # on a connection, and by a thread, of which something has been seen
                    self.exchange_seen(talk)
                losses = self.unreadable()
                talk.say(data)
                talk.await_bytes(len(data))
                answer = talk.do("in", way, talk.fd, len(data), may_fail=True)
                if answer.result < 0 and way == "uring":
                    self.end(talk)
                    self.skipTest("no io_uring here: %s" % os.strerror(answer.errno))
                self.assertEqual(len(data), answer.result)
                talk.answer(OK)
                self.end(talk)
                self.unread(Want.NULL if guessed else len(data), status=200, sent=len(OK))
                self.assertTrue(agent.poll_until(lambda n=losses: self.unreadable() > n, 5), "it is counted")

    def exchange_seen(self, talk):
        """A request as any other."""
        name = next(NAMES)
        talk.exchange(head(name), OK)
        self.check(Want(name, received=len(head(name)), sent=len(OK)))

    def unreadable(self):
        """losses.heads_unreadable."""
        return METER.stats(sections="agent")["agent"]["losses"]["heads_unreadable"]

    def test_unseen_then_seen(self):
        """A connection whose first head was out of sight is followed all the same."""
        talk, name = self.talk(), next(NAMES)
        data = head("unseen")
        talk.exchange(data, OK, "recvmmsg-two")
        talk.exchange(head(name), OK)
        self.end(talk)
        ended, _ = self.rows.take(2)
        self.assertEqual([None, "/"], sorted((row["path"] for row in ended), key=lambda path: path or ""))
        found = [row for row in ended if row["id"] == name]
        self.assertEqual(1, len(found))
        self.assertEqual([], Want(name, received=len(head(name)), sent=len(OK)).differences(found[0]))

    def test_peek(self):
        """A look takes nothing: the bytes count once and the request starts when they are taken."""
        for family in ("tcp4", "unix"):
            with self.subTest(family=family):
                talk, wants = self.talk(family), []
                for _ in range(2):
                    name = next(NAMES)
                    data = head(name)
                    talk.say(data)
                    for n in (1, len(data), 20):
                        seen = talk.hear(n, "peek")
                        self.assertTrue(data.startswith(bytes.fromhex(seen.extra)), "the look is at the head")
                    talk.hear(len(data))
                    talk.answer(OK)
                    talk.get(len(OK))
                    wants.append(Want(name, received=len(data), sent=len(OK), span=talk.span(-2)))
                self.end(talk)
                self.check(*wants)

    def test_peek_before_a_proxy_line(self):
        """A look at the first byte only, then the head in pieces."""
        talk, name = self.talk(), next(NAMES)
        data = head(name)
        talk.say(data)
        talk.hear(1, "peek")
        talk.hear(10)
        talk.hear(30, "peek" if len(data) > 40 else "recv")
        talk.hear(len(data) - 10)
        talk.answer(OK)
        self.end(talk)
        self.check(Want(name, received=len(data), sent=len(OK), span=talk.span()))

    def test_reads_in_vain(self):
        """Reads that would block, before, between and behind: no bytes, no request of their own."""
        for style in ("thread", "loop"):
            with self.subTest(style=style):
                talk, wants = self.talk(style=style), []
                for _ in range(2):
                    name = next(NAMES)
                    data = head(name)
                    talk.do("in", "dontwait", talk.fd, 100, may_fail=True)
                    talk.say(data)
                    talk.hear(20)
                    talk.hear(len(data) - 20)
                    talk.do("in", "dontwait", talk.fd, 100, may_fail=True)
                    talk.answer(OK)
                    talk.do("in", "dontwait", talk.fd, 100, may_fail=True)
                    talk.get(len(OK))
                    wants.append(Want(name, received=len(data), sent=len(OK), span=talk.span(-3)))
                self.end(talk)
                self.check(*wants)


class Out(Ways):
    """Writes."""

    def way_out(self, way, family="tcp4"):
        """Two requests on a connection, both answered by the way: the Want of each, and the Talk."""
        talk, wants = self.talk(family), []
        for size in (2, 3000):
            name = next(NAMES)
            talk.say(head(name))
            talk.hear(len(head(name)))
            answer = talk.do("out", way, talk.fd, data=response(b"r" * size), may_fail=True)
            if answer.result < 0 and way == "uring":
                self.end(talk)
                self.skipTest("no io_uring here: %s" % os.strerror(answer.errno))
            self.assertEqual(len(response(b"r" * size)), answer.result)
            talk.marks.append((answer.before, answer.after))
            talk.get(answer.result)
            wants.append(Want(name, received=len(head(name)), sent=answer.result, span=talk.span(-2)))
        self.end(talk)
        return wants

    def test_seen(self):
        """Each system call that writes from memory."""
        for way, family in itertools.product(SEEN_OUT, ("tcp4", "unix")):
            with self.subTest(way=way, family=family):
                self.check(*self.way_out(way, family))

    def test_unseen(self):
        """Responses out of sight: bytes and times are right, the status is null."""
        for way, family in itertools.product(UNSEEN_OUT, ("tcp4", "unix")):
            with self.subTest(way=way, family=family):
                wants = self.way_out(way, family)
                for want in wants:
                    want.fields["status"] = Want.NULL
                    want.fields["confidence"] = "boundary" if self.is_guessed(way, family) else "exact"
                self.check(*wants)

    def test_body_out_of_sight(self):
        """The head by a write, the body by sendfile or splice: status, bytes, and an end with the body's last byte."""
        for way, family in itertools.product(("sendfile", "splice"), ("tcp4", "unix")):
            with self.subTest(way=way, family=family):
                talk, wants = self.talk(family), []
                for _ in range(2):
                    name, body = next(NAMES), b"f" * 20000
                    top = response(body)[:-len(body)]
                    talk.say(head(name))
                    talk.hear(len(head(name)))
                    talk.answer(top)
                    talk.answer(body, way)
                    talk.get(len(top + body))
                    wants.append(Want(name, received=len(head(name)), sent=len(top + body), span=talk.span(-3),
                                      confidence="boundary" if self.is_guessed(way, family) else "exact"))
                self.check(*wants)
                self.end(talk)


class Hands(Ways):
    """Connections, descriptors and processes that change."""

    def test_accept(self):
        """accept and accept4, on every family."""
        for way, family in itertools.product(("accept", "accept4"), LISTENERS):
            with self.subTest(way=way, family=family):
                talk, wants = self.talk(family, accept=way), []
                for _ in range(2):
                    name = next(NAMES)
                    talk.exchange(head(name), OK)
                    wants.append(Want(name, received=len(head(name)), sent=len(OK), span=talk.span(-2)))
                self.end(talk)
                self.check(*wants)

    def test_one_thread_for_all(self):
        """One thread accepts, serves and closes, one connection after the other."""
        wants = []
        for _ in range(5):
            name = next(NAMES)
            talk = self.talk(worker="t0")
            talk.exchange(head(name), OK)
            self.end(talk)
            wants.append(Want(name, received=len(head(name)), sent=len(OK), span=talk.span()))
        self.check(*wants)

    def test_dup(self):
        """Read by one descriptor, answered by its duplicate, the first closed between."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.hear(len(head(name)))
        copy = talk.do("dup", talk.fd).result
        talk.do("close", talk.fd)
        talk.answer(OK, fd=copy)
        talk.get(len(OK))
        again = next(NAMES)
        talk.say(head(again))
        talk.fd = copy
        talk.hear(len(head(again)))
        talk.answer(OK)
        self.end(talk)
        self.check(*(Want(id, received=len(head(id)), sent=len(OK)) for id in (name, again)))

    def other_process(self, number):
        """A process forked off the puppet, and the worker that is it: (worker, pid)."""
        worker = "t%d" % number
        return worker, PUPPET.do("t0", "fork", worker).result

    def pass_on(self, talk, worker, channel):
        """Hands the connection's descriptor to another process, and closes ours."""
        PUPPET.do(talk.worker, "give", channel[0], talk.fd)
        fd = PUPPET.do(worker, "take", channel[1]).result
        talk.do("close", talk.fd)
        talk.moves_to(worker, fd)

    def test_passed_before_the_request(self):
        """A descriptor passed by SCM_RIGHTS: the process that reads and answers has the row, as exact as any."""
        pair = PUPPET.do("t0", "pair")
        worker, pid = self.other_process(50)
        rows = self.rows_of(PUPPET.pid, pid)
        talk, name = self.talk(), next(NAMES)
        self.pass_on(talk, worker, (pair.result, int(pair.extra)))
        talk.exchange(head(name), OK)
        talk.close_server()
        self.check(Want(name, received=len(head(name)), sent=len(OK), span=talk.span()), rows=rows)
        self.assertEqual({pid}, {row["pid"] for row in METER.rows(id=name)})

    def test_passed_within_a_request(self):
        """
        One process reads the head and passes the connection on; another answers. One request, one row: of the process
        that read it. Two threads worked on it, so boundary.
        """
        pair = PUPPET.do("t0", "pair")
        worker, pid = self.other_process(51)
        rows = self.rows_of(PUPPET.pid, pid)
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.hear(len(head(name)))
        self.pass_on(talk, worker, (pair.result, int(pair.extra)))
        talk.answer(OK)
        talk.get(len(OK))
        again = next(NAMES)
        talk.exchange(head(again), OK)
        talk.close_server()
        self.check(Want(name, received=len(head(name)), sent=len(OK), span=talk.span(0, 1), confidence="inherited"),
                   Want(again, received=len(head(again)), sent=len(OK), span=talk.span(2)), rows=rows)
        self.assertEqual([PUPPET.pid, pid], [METER.rows(id=id)[0]["pid"] for id in (name, again)])

    def test_fork_before_the_request(self):
        """A child inherits the connection and serves it; the parent closes its copy, which ends nothing."""
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        worker, pid = self.other_process(52)
        rows = self.rows_of(PUPPET.pid, pid)
        talk.do("close", talk.fd)
        talk.moves_to(worker)
        for name in names:
            talk.exchange(head(name), OK)
        talk.close_server()
        self.check(*(Want(name, received=len(head(name)), sent=len(OK)) for name in names), rows=rows)
        self.assertEqual({pid}, {METER.rows(id=name)[0]["pid"] for name in names})

    def test_fork_within_a_request(self):
        """The parent reads the head and forks; the child answers."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.hear(len(head(name)))
        worker, pid = self.other_process(53)
        rows = self.rows
        rows.pids.add(pid)
        talk.do("close", talk.fd)
        talk.moves_to(worker)
        talk.answer(OK)
        talk.close_server()
        self.check(Want(name, received=len(head(name)), sent=len(OK), span=talk.span(), confidence="inherited"),
                   rows=rows)

    def test_reuseport(self):
        """Three processes listen on one port; each request has one row, of the process that served it."""
        workers = {}
        for number in (54, 55, 56):
            worker, pid = self.other_process(number)
            workers[worker] = pid
        port = agent.free_port()
        descriptors = {worker: PUPPET.do(worker, "listen", "tcp4", port, "reuseport").result for worker in workers}
        rows = self.rows_of(PUPPET.pid, *workers.values())
        waiting = {PUPPET.begin(worker, "accept", fd, "accept4"): worker for worker, fd in descriptors.items()}
        wants, served = [], {}
        for _ in range(24):
            name = next(NAMES)
            sock = reach(("tcp4", port))
            number = PUPPET.first(waiting)
            worker, fd = waiting.pop(number), PUPPET.result(number).result
            sock.sendall(head(name))
            PUPPET.do(worker, "in", "recv", fd, 65536)
            PUPPET.do(worker, "out", "send", fd, data=OK)
            PUPPET.do(worker, "close", fd)
            sock.close()
            waiting[PUPPET.begin(worker, "accept", descriptors[worker], "accept4")] = worker
            wants.append(Want(name, received=len(head(name)), sent=len(OK)))
            served[name] = workers[worker]
        self.check(*wants, rows=rows)
        self.assertEqual(served, {row["id"]: row["pid"] for row in METER.rows() if row["id"] in served})
        self.assertGreater(len(set(served.values())), 1, "more than one process has served")

    def test_descriptor_reused(self):
        """A number that is closed and given to the next connection at once: two connections, never mixed."""
        wants, numbers = [], set()
        for turn in range(10):
            name = next(NAMES)
            talk = self.talk(worker="t1")
            numbers.add(talk.fd)
            if turn % 2:
                talk.exchange(head(name, "/%d" % turn), OK)
            else:
                talk.say(head(name, "/%d" % turn))
                talk.hear(len(head(name, "/%d" % turn)))
            self.end(talk)
            wants.append(Want(name, path="/%d" % turn, status=200 if turn % 2 else Want.NULL,
                              outcome="completed" if turn % 2 else "unanswered",
                              received=len(head(name, "/%d" % turn)), sent=len(OK) * (turn % 2)))
        self.assertEqual(1, len(numbers), "the test is about one number")
        self.check(*wants)

    def test_descriptor_reused_under_a_half_head(self):
        """The first connection leaves half a head behind; the second's request does not continue it."""
        first, name = self.talk(worker="t1"), next(NAMES)
        first.say(head("never")[:20])
        first.hear(20)
        self.end(first)
        second = self.talk(worker="t1")
        self.assertEqual(first.fd, second.fd)
        second.exchange(head(name), OK)
        self.end(second)
        self.check(Want(name, received=len(head(name)), sent=len(OK)))

    def test_socketpair(self):
        """A pair is no connection of a server's: bytes like HTTP on it leave no row."""
        pair = PUPPET.do("t1", "pair")
        ends = (pair.result, int(pair.extra))
        PUPPET.do("t1", "out", "send", ends[0], data=head("pair"))
        PUPPET.do("t2", "in", "recv", ends[1], 65536)
        PUPPET.do("t2", "out", "send", ends[1], data=OK)
        PUPPET.do("t1", "in", "recv", ends[0], 65536)
        for end in ends:
            PUPPET.do("t1", "close", end)
        name = next(NAMES)
        talk = self.talk()
        talk.exchange(head(name), OK)
        self.end(talk)
        self.check(Want(name))


class Outgoing(Ways):
    """A server that asks another."""

    def test_outgoing(self):
        """
        The called server has a row of its own; the caller has none for what it asked, and reading the answer is no
        request of its own either. The caller's connection may be TCP or Unix.
        """
        with Puppet() as called:
            listeners = listen_all(called, "b")
            for family, listener in listeners.items():
                with self.subTest(family=family):
                    self.ask(called, family, listener)

    def ask(self, called, family, listener):
        """One request, within which another server is asked twice on one connection."""
        rows = self.rows_of(PUPPET.pid, called.pid)
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name, "/outer"))
        talk.hear(len(head(name, "/outer")))
        order = called.begin("t0", "accept", listener[0], "accept4")
        out = talk.do("connect", *listener[1]).result
        there, wants = called.result(order).result, []
        for _ in range(2):
            inner = next(NAMES)
            data = head(inner, "/inner")
            talk.do("out", "send", out, data=data)
            called.do("t1", "in", "recv", there, 65536)
            called.do("t1", "out", "send", there, data=OK)
            talk.do("in", "recv", out, 65536)
            wants.append(Want(inner, path="/inner", received=len(data), sent=len(OK)))
        called.do("t1", "close", there)
        talk.do("close", out)
        talk.answer(OK)
        self.end(talk)
        self.check(*wants, Want(name, path="/outer", received=len(head(name, "/outer")), sent=len(OK),
                                span=talk.span()), rows=rows)
        pids = {row["id"]: row["pid"] for row in METER.rows()}
        self.assertEqual([called.pid] * 2 + [PUPPET.pid], [pids[want.id] for want in wants] + [pids[name]])

    def test_connected_for_one_written_in_another(self):
        """
        A thread connects for one request, turns to a second, and then writes: the connection is the first one's, and so
        is the work after that write.
        """
        with Puppet() as called:
            listener = listen_all(called, "c")["tcp4"]
            rows = self.rows_of(PUPPET.pid)
            names, wants = [next(NAMES), next(NAMES)], []
            talks = [self.talk(worker="t40"), self.talk(worker="t40")]
            order = called.begin("t0", "accept", listener[0], "accept4")
            for talk, name in zip(talks, names):
                talk.say(head(name))
                talk.hear(len(head(name)))
                if talk is talks[0]:
                    out = talk.do("connect", *listener[1]).result
            there = called.result(order).result
            talks[1].do("burn", 20000)
            talks[0].do("out", "send", out, data=head("inner"))
            talks[0].do("burn", 60000)
            for talk, name in zip(talks, names):
                talk.answer(OK)
                talk.get(len(OK))
                self.end(talk)
                wants.append(Want(name, received=len(head(name)), sent=len(OK), confidence="boundary"))
            talks[0].puppet.do("t40", "close", out)
            called.do("t1", "close", there)
        self.check(*wants, rows=rows)
        cpu = {row["id"]: row["cpu_ns"] // MS for row in METER.rows()}
        self.assertGreaterEqual(cpu[names[0]], 55)
        self.assertLess(cpu[names[1]], 50)
        self.assertGreaterEqual(cpu[names[1]], 18)


class OlderThanTheAgent(unittest.TestCase):
    """Connections that were there before the agent."""

    def test_older_connections(self):
        """The first row says `inferred` (TCP: which side it is was guessed from the ports); the next are sure."""
        with Puppet() as puppet:
            listeners = {family: puppet.listen(family) for family in ("tcp4", "tcp6") if family in LISTENERS}
            for family, listener in listeners.items():
                with self.subTest(family=family):
                    self.serve(puppet, listener)

    def serve(self, puppet, listener):
        """An idle connection, one that was used before, and one whose request is being worked on."""
        talks = [Talk(puppet, listener) for _ in range(3)]
        talks[1].exchange(head("before"), OK)
        talks[2].say(head("within"))
        talks[2].hear(len(head("within")))
        with agent.Agent("--scope", "pid:%d" % os.getpid()) as meter:
            rows, wants = Rows(meter, puppet.pid), []
            talks[2].answer(OK)
            for talk in talks:
                for number in range(3):
                    name = next(NAMES)
                    talk.exchange(head(name), OK)
                    wants.append(Want(name, received=len(head(name)), sent=len(OK), span=talk.span(-2),
                                      confidence="exact" if number else "inferred"))
                talk.close()
            lines = rows.mismatches(wants)
            self.assertFalse(lines, "\n  " + "\n  ".join(lines))


if __name__ == "__main__":
    unittest.main()
