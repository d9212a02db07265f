# SPDX-License-Identifier: MIT
"""Python's http.server, a thread per connection. usage: bodies.py PORT

Routes: /health  POST /up (its body is read)  /pieces (half of the body, the rest after /go was asked)
"""
import http.server
import sys
import threading

GO = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, *pieces):
        """A response whose pieces wait for /go between each other."""
        self.send_response(200)
        self.send_header("Content-Length", str(sum(map(len, pieces))))
        self.end_headers()
        for number, piece in enumerate(pieces):
            if number:
                GO.wait()
            self.wfile.write(piece)

    def do_GET(self):  # pylint: disable=invalid-name
        """See above."""
        if self.path == "/go":
            GO.set()
        self.answer(*[b"piece"] * (2 if self.path == "/pieces" else 1))

    def do_POST(self):  # pylint: disable=invalid-name
        """Reads the body."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"ok")

    def log_message(self, *arguments):
        """No log."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
