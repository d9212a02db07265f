# SPDX-License-Identifier: MIT
"""A loop that never waits: it asks its selector, and works for nobody for WORK_US, again and again.

usage: poller.py PORT zero|ready
zero: epoll with a timeout of 0. ready: poll(2) without one, with a descriptor among the others that is always readable.
Each request but /health is answered 50 ms after it came.
"""
import os
import select
import socket
import sys
import time

import handlers

WORK_US = 200
WAIT_S = 0.05
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def selector(how):
    """(object with register and unregister, function that returns the ready descriptors)."""
    if how == "zero":
        epoll = select.epoll()
        return epoll, lambda: epoll.poll(0)
    poll, (readable, writable) = select.poll(), os.pipe()
    os.write(writable, b"x")
    poll.register(readable, select.POLLIN)
    return poll, lambda: [(fd, event) for fd, event in poll.poll() if fd != readable]


def serve(listener, ready, look):
    """For ever."""
    open_sockets, waiting = {}, []
    while True:
        for fd, _ in look():
            if fd == listener.fileno():
                sock = listener.accept()[0]
                open_sockets[sock.fileno()] = sock
                ready.register(sock.fileno(), select.POLLIN)
            elif data := open_sockets[fd].recv(65536):
                waiting.append((time.monotonic() + WAIT_S * (b" /health " not in data), open_sockets[fd]))
            else:
                ready.unregister(fd)
                open_sockets.pop(fd).close()
        handlers.burn(WORK_US)
        due = [entry for entry in waiting if entry[0] <= time.monotonic()]
        for entry in due:
            waiting.remove(entry)
            entry[1].sendall(ANSWER)


def main():
    """Listens for ever."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    ready, look = selector(sys.argv[2])
    ready.register(listener.fileno(), select.POLLIN)
    serve(listener, ready, look)


if __name__ == "__main__":
    main()
