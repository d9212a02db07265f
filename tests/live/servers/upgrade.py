# SPDX-License-Identifier: MIT
"""A thread for each connection, which echoes all that comes behind an upgrade. usage: upgrade.py PORT"""
import socket
import sys
import threading


def serve(sock):
    """One connection."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    upgraded = False
    while data := sock.recv(65536):
        if upgraded:
            sock.sendall(data)
        elif b"Upgrade: words" in data:
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: words\r\nConnection: Upgrade\r\n\r\n")
            upgraded = True
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
