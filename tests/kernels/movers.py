# SPDX-License-Identifier: MIT
"""An HTTP/1.1 server that moves bodies past user space: sendfile() on the way out, splice() on the way in.

usage: movers.py [PATH]     on 127.0.0.1, or on a Unix socket there
    GET /sendfile?n=BYTES   answers with so many bytes, sent by sendfile()
    GET /…                  answers with none
    POST /splice            takes the body by splice() and answers its length
Prints "ready HOST PORT" or "ready unix PATH" when it listens; a thread per connection; ends on SIGTERM.
"""
import os
import re
import signal
import socket
import sys
import tempfile
import threading

PIECE = 65536


def head_of(sock):
    """The head's bytes and none of the body's; b"" at the end of the connection."""
    while seen := sock.recv(PIECE, socket.MSG_PEEK):
        if (end := seen.find(b"\r\n\r\n")) >= 0:
            return sock.recv(end + 4)
    return b""


def splice_in(sock, length):
    """Moves `length` bytes of the socket into nowhere; returns how many came."""
    left = length
    out, into = os.pipe()
    with open(out, "rb"), open(into, "wb"), open(os.devnull, "wb") as nowhere:
        while left and (n := os.splice(sock.fileno(), into, min(left, PIECE))):
            left -= n
            while n:
                n -= os.splice(out, nowhere.fileno(), n)
    return length - left


def send_head(sock, length):
    """The response's head."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)


def serve(sock, data):
    """One connection, until the client closes it."""
    with sock:
        while head := head_of(sock):
            if length := re.search(rb"Content-Length: (\d+)", head):
                came = b"%d" % splice_in(sock, int(length[1]))
                send_head(sock, len(came))
                sock.sendall(came)
                continue
            wanted = re.match(rb"GET /sendfile\?n=(\d+) ", head)
            send_head(sock, int(wanted[1]) if wanted else 0)
            if wanted:
                sock.sendfile(data, 0, int(wanted[1]))


def listen(path):
    """(listening socket, its address in two words); path: None for TCP."""
    if not path:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        return listener, listener.getsockname()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener, ("unix", path)


def main():
    """Listens, says so, serves."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener, address = listen(sys.argv[1] if len(sys.argv) > 1 else None)
    with tempfile.TemporaryFile() as data, listener:
        data.write(b"x" * 1000000)
        data.flush()
        print("ready", *address, flush=True)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock, data), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
