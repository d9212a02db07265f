# SPDX-License-Identifier: MIT
"""A stream in both directions, a thread for each connection. usage: echo.py PORT. Routes: /health  POST /echo

The head of the answer is written before the body has come; then what is read is written, whatever it says.
"""
import re
import socket
import sys
import threading


def echo(sock, left, data):
    """Writes `left` bytes as they come; data: those that are there."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
    while True:
        sock.sendall(data)
        left -= len(data)
        if not left:
            return
        data = sock.recv(65536)


def serve(sock):
    """One connection."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := sock.recv(65536):
        head, _, body = data.partition(b"\r\n\r\n")
        if length := re.search(rb"Content-Length: (\d+)", head):
            echo(sock, int(length.group(1)), body)
        else:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    sock.close()


def main():
    """Listens for ever."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
