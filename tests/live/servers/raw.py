# SPDX-License-Identifier: MIT
"""A thread per connection on bare sockets; the path says how the answer is written.

usage: raw.py PORT [ADDRESS]; prints "listening"
Routes: /health  /burn?us=N
  /look/HOW       a chunked body, ten times a look at the own socket and 5 ms of CPU; see LOOKS
  /end/HOW        an answer in the pieces of response_ends.ENDS
  /straddle?n=N   an answer of N bytes whose writes end at 4096 bytes
  /pool?us=N&n=N  head by this thread, the body of n bytes by another one, us later
  /pool-all?us=N  all of the answer by another thread, which uses us of CPU for it
  /vectors?n=N    the head in n vectors of one sendmsg
  /child?us=N     a child process uses us of CPU
  /read-ahead     body 5 ms after the head; meanwhile another thread reads one byte ahead, as Go's does
X-Handler-CPU-Ns is what the handler used, where the head is written after it; a chunked body's last line is it else.
"""
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import handlers
from response_ends import CHUNKED, ENDS, LAST

MSG_ERRQUEUE = 0x2000
POOL = queue.Queue()


def look_by_flags(flags):
    """A look that finds nothing: would block."""
    def look(sock):
        try:
            sock.recv(1, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
    return look


def look_at_errors(sock):
    """The error queue, which is empty."""
    try:
        sock.recvmsg(0, 200, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass


def look_unblocked(sock):
    """A read of a socket that does not block for the moment."""
    sock.setblocking(False)
    try:
        sock.recv(100)
    except BlockingIOError:
        pass
    sock.setblocking(True)


LOOKS = {"none": lambda sock: None, "peek": look_by_flags(socket.MSG_PEEK), "eagain": look_by_flags(0),
         "unblocked": look_unblocked, "errors": look_at_errors}


def answer(cpu_ns, body=b"ok"):
    """A whole answer."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Handler-CPU-Ns: %d\r\n\r\n" % (len(body), cpu_ns) + body


def pool():
    """Does what it is told."""
    while True:
        job, done = POOL.get()
        job()
        done.set()


def by_pool(job):
    """Lets the pool's thread do it and waits for it."""
    done = threading.Event()
    POOL.put((job, done))
    done.wait()


def look(sock, how):
    """Ten looks."""
    start = time.thread_time_ns()
    sock.sendall(CHUNKED)
    for _ in range(10):
        LOOKS[how](sock)
        handlers.burn(5000)
        line = b"%d\n" % (time.thread_time_ns() - start)
        sock.sendall(b"%x\r\n%s\r\n" % (len(line), line))
    sock.sendall(LAST)


def straddle(sock, n):
    """A write ends where a buffer of 4096 bytes is full."""
    top = b"HTTP/1.1 200 OK\r\nContent-Length: %06d\r\n\r\n"
    body = n - len(top % 0)
    data = top % body + b"s" * body
    for at in range(0, n, 4096):
        sock.sendall(data[at:at + 4096])


def body_by_pool(sock, us, n):
    """The head by this thread."""
    def job():
        time.sleep(us / 1e6)
        sock.sendall(b"p" * n)

    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
    by_pool(job)


def all_by_pool(sock, us):
    """Nothing by this thread."""
    def job():
        start = time.thread_time_ns()
        handlers.burn(us)
        sock.sendall(answer(time.thread_time_ns() - start))

    by_pool(job)


def vectors(sock, n):
    """The head in n vectors of about the same size, the body in one more."""
    top = b"HTTP/1.1 203 Some\r\nServer: many vectors\r\nX-More: " + b"m" * 300 + b"\r\nContent-Length: 4\r\n\r\n"
    size = -(-len(top) // n)
    sock.sendmsg([top[at:at + size] for at in range(0, len(top), size)] + [b"body"])


def child(us):
    """A Python that uses CPU and ends."""
    subprocess.run([sys.executable, "-S", "-c", "import time\nwhile time.process_time() < %f: pass" % (us / 1e6)], check=True)


class Talk:
    """One connection; keeps a byte that was read ahead."""

    def __init__(self, sock):
        self.sock, self.ahead = sock, b""

    def head(self):
        """The next request's head; empty at the end. Bodies are not understood."""
        while b"\r\n\r\n" not in self.ahead:
            more = self.sock.recv(65536)
            if not more:
                return b""
            self.ahead += more
        data, _, self.ahead = self.ahead.partition(b"\r\n\r\n")
        return data

    def read_ahead(self):
        """Another thread waits for the next request's first byte, while this one answers: the head, later the body."""
        def one_byte():
            self.ahead += self.sock.recv(1)

        thread = threading.Thread(target=one_byte)
        thread.start()
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        time.sleep(0.005)
        self.sock.sendall(b"ok")
        thread.join()

    def serve(self):
        """Until the client closes."""
        while data := self.head():
            url = urllib.parse.urlsplit(data.split()[1].decode())
            query = dict(urllib.parse.parse_qsl(url.query))
            self.route(url.path.split("/"), lambda key, q=query: int(q.get(key, "0")))
        self.sock.close()

    def route(self, path, query):
        """Answers one request."""
        sock, what = self.sock, path[1]
        start = time.thread_time_ns()
        if what == "look":
            return look(sock, path[2])
        if what == "end":
            for piece in ENDS[path[2]]:
                sock.sendall(piece)
            return None
        if what == "read-ahead":
            return self.read_ahead()
        if what in ("straddle", "vectors"):
            return {"straddle": straddle, "vectors": vectors}[what](sock, query("n"))
        if what == "pool":
            return body_by_pool(sock, query("us"), query("n"))
        if what == "pool-all":
            return all_by_pool(sock, query("us"))
        if what == "burn":
            handlers.burn(query("us"))
        elif what == "child":
            child(query("us"))
        return sock.sendall(answer(time.thread_time_ns() - start))


def main():
    """Listens for ever."""
    threading.Thread(target=pool, daemon=True).start()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(((sys.argv[2:] or ["127.0.0.1"])[0], int(sys.argv[1])))
    listener.listen(128)
    print("listening", flush=True)
    while True:
        sock = listener.accept()[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Talk(sock).serve, daemon=True).start()


if __name__ == "__main__":
    main()
