# SPDX-License-Identifier: MIT
"""Ends of processes: a WSGI application (outcomes:app), and, run as a program, one that inetd starts for a connection.

As a program: answers one request on descriptor 0 and exits. Routes: /exit (its exit is the answer's end)
/exit-framed (with a length)  /kill (half an answer, then SIGKILL)  /abort (an answer of its length, then abort). As an application: /spin and /sleep, for ever, else ok.
"""
import os
import signal
import sys
import time


def app(environ, start_response):
    """Two handlers do not come back."""
    while environ["PATH_INFO"] == "/spin":
        pass
    while environ["PATH_INFO"] == "/sleep":
        time.sleep(1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def main():
    """One connection."""
    head = b""
    while b"\r\n\r\n" not in head and (data := os.read(0, 65536)):
        head += data
    path = head.split()[1] if head else b""
    length = b"Content-Length: 4\r\n" if path in (b"/abort", b"/exit-framed") else b""
    os.write(1, b"HTTP/1.0 200 OK\r\n" + length + b"\r\nha")
    if path == b"/kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os.write(1, b"lf")
    if path == b"/abort":
        os.abort()
    sys.exit(0)


if __name__ == "__main__":
    main()
