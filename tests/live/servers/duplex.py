# SPDX-License-Identifier: MIT
"""An HTTP/1.1 server with two threads a connection: one only reads, the other only writes.

usage: duplex.py [PATH]    on 127.0.0.1, or on a Unix socket there
The reader puts every head that came whole into a queue, from which the writer answers; bodies are not expected.
Prints "ready HOST PORT" or "ready unix PATH" when it listens; ends on SIGTERM.
"""
import queue
import socket
import sys
import threading

END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def read(sock, heads):
    """Counts heads, until the client closes."""
    kept = b""
    while data := sock.recv(65536):
        kept += data
        while END in kept:
            kept = kept.split(END, 1)[1]
            heads.put(OK)
    heads.put(None)


def write(sock, heads):
    """Answers each."""
    with sock:
        while answer := heads.get():
            sock.sendall(answer)


def main():
    """Listens, says so, serves."""
    if len(sys.argv) > 1:
        listener, address = socket.socket(socket.AF_UNIX), ("unix", sys.argv[1])
        listener.bind(sys.argv[1])
        listener.listen()
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
    print("ready", *address, flush=True)
    while True:
        sock, _ = listener.accept()
        heads = queue.SimpleQueue()
        for work in (read, write):
            threading.Thread(target=work, args=(sock, heads), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
