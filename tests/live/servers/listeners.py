# SPDX-License-Identifier: MIT
"""A thread per connection on a listening socket that is made in an odd way. usage: listeners.py PORT HOW

HOW: mptcp      a listener of MPTCP
     fast-open  one that takes data in a SYN
     again      listen() is called twice, the second time after the first connection
     passed     the socket listens in a parent that gives it to a child by a Unix socket and ends its own copy
     reuse      two listeners of one port, a process each
Answers every request with 200.
"""
import ctypes
import os
import signal
import socket
import sys
import threading

IPPROTO_MPTCP = 262
PR_SET_PDEATHSIG = 1
QUEUE = 128


def serve(sock):
    """One connection."""
    while sock.recv(65536):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    sock.close()


def accept(listener):
    """For ever."""
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def bound(port, protocol=0):
    """A socket that does not listen yet."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def fork():
    """As os.fork(); the child does not outlive its parent."""
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return pid


def passed(sock):
    """The same socket, in a child."""
    here, there = socket.socketpair()
    if fork():
        socket.send_fds(here, [b"x"], [sock.fileno()])
        sock.close()
        os.wait()
        os._exit(0)
    sock.close()
    return socket.socket(fileno=socket.recv_fds(there, 1, 1)[1][0])


def main():
    """Listens as told."""
    port, how = int(sys.argv[1]), sys.argv[2]
    sock = bound(port, IPPROTO_MPTCP if how == "mptcp" else 0)
    if how == "fast-open":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, QUEUE)
    if how == "reuse" and fork() == 0:
        sock.close()
        sock = bound(port)
    sock.listen(QUEUE)
    if how == "passed":
        sock = passed(sock)
    if how == "again":
        serve(sock.accept()[0])
        sock.listen(2 * QUEUE)
    accept(sock)


if __name__ == "__main__":
    main()
