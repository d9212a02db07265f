# SPDX-License-Identifier: MIT
"""Applications under uvicorn in processes of their own, and clients for them."""
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "src", "sdk", "python", "examples", "fastapi_app.py")
PROBE = os.path.join(HERE, "probe_app.py")


def free_port():
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _reject(name):
    raise ValueError("%s is not JSON" % name)


class Client:
    """One connection, kept open between requests. A context manager."""

    def __init__(self, port):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def ask(self, path, method="GET", headers=None, body=None):
        """(status, headers, JSON or None when the answer is none)."""
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        data = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, answer.headers, json.loads(data, parse_constant=_reject) if is_json and data else None


class Server:
    """A running application. A context manager; ends only the process that it started."""

    def __init__(self, command, **environment):
        self.port = free_port()
        self._log = tempfile.TemporaryFile()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                       "PYTHONDONTWRITEBYTECODE": "1", **environment}
        command = [word.format(port=self.port) for word in command]
        self.process = subprocess.Popen([sys.executable, *command], stdout=self._log, stderr=self._log, env=environment)
        self._wait_ready()

    def _wait_ready(self):
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError("the application did not start: " + self.output())

    def output(self):
        """What it printed."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def client(self):
        """A new connection."""
        return Client(self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self._log.close()

    def stop(self):
        """SIGTERM, and SIGKILL after 10 s."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def probe(loop, **environment):
    """The application that looks at itself."""
    return Server([PROBE, loop, "{port}"], **environment)


def example(loop, **environment):
    """The example of the package."""
    return Server([EXAMPLE, "--loop", loop, "--port", "{port}"], **environment)


def read_answer(stream):
    """The JSON of the next answer on a connection's stream."""
    stream.readline()
    headers = http.client.parse_headers(stream)
    return json.loads(stream.read(int(headers["Content-Length"])))
