# SPDX-License-Identifier: MIT
"""A proxy that looks at nothing: one event loop moves all bytes by splice(), in both directions.

usage: splice_proxy.py HOST PORT [PATH]    forwards to HOST:PORT; listens on 127.0.0.1, or on a Unix socket at PATH
Prints "ready HOST PORT" or "ready unix PATH" when it listens; ends on SIGTERM.
"""
import os
import select
import socket
import sys

PIECE = 65536


class Loop:
    """All connections; a direction is (from, to, the pipe between them)."""

    def __init__(self, listener, backend):
        self.listener, self.backend = listener, backend
        self.poll = select.epoll()
        self.poll.register(listener, select.EPOLLIN)
        self.directions = {}

    def accept(self):
        """A new connection, and one to the server behind."""
        client, _ = self.listener.accept()
        server = socket.create_connection(self.backend)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, to in ((client, server), (server, client)):
            self.directions[source.fileno()] = (source, to, os.pipe())
            self.poll.register(source, select.EPOLLIN)

    def close(self, *socks):
        """Both sides of a connection."""
        for sock in socks:
            self.poll.unregister(sock)
            for fd in self.directions.pop(sock.fileno())[2]:
                os.close(fd)
            sock.close()

    def move(self, fd):
        """What one socket has received, to the other."""
        if fd not in self.directions:
            return
        source, to, (out, into) = self.directions[fd]
        try:
            n = os.splice(source.fileno(), into, PIECE)
            left = n
            while left:
                left -= os.splice(out, to.fileno(), left)
        except OSError:
            n = 0
        if not n:
            self.close(source, to)

    def run(self):
        """Serves for ever."""
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.listener.fileno():
                    self.accept()
                else:
                    self.move(fd)


def main():
    """Listens, says so, serves."""
    if len(sys.argv) > 3:
        listener, address = socket.socket(socket.AF_UNIX), ("unix", sys.argv[3])
        listener.bind(sys.argv[3])
        listener.listen()
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = listener.getsockname()
    print("ready", *address, flush=True)
    Loop(listener, (sys.argv[1], int(sys.argv[2]))).run()


if __name__ == "__main__":
    sys.exit(main())
