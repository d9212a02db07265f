# SPDX-License-Identifier: MIT
"""A running `reqmeter agent` for the live tests, and waiting for events."""
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import build

PROGRAM = os.environ.get("REQMETER") or os.path.join(build.ROOT, "build", "reqmeter")
READY_SECONDS = 30


def poll_until(predicate, seconds, interval=0.02):
    """Calls predicate until it returns something true, which is returned; the last value when time is up."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value or time.monotonic() >= end:
            return value
        time.sleep(interval)


def skip_reason():
    """Why no agent can run here, or None."""
    if not os.access(PROGRAM, os.X_OK):
        return "build/reqmeter is not built"
    if os.geteuid() != 0:
        return "the agent needs root"
    return None


def free_port():
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class AgentError(Exception):
    """The agent did not start, or answered an error."""


class Agent:
    """An agent on a free loopback port. A context manager; ends only the process that it started."""

    def __init__(self, *args, program=PROGRAM, prefix=()):
        self.port = free_port()
        self.address = "127.0.0.1:%d" % self.port
        self.errors, self.error_text = tempfile.TemporaryFile(), ""
        command = [*prefix, program, "agent", "--listen", self.address, *args]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors)
        self.ready_line = self.wait_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        """The agent's process id."""
        return self.process.pid

    def stderr(self):
        """What the agent wrote on stderr up to now."""
        if not self.errors.closed:
            self.errors.seek(0)
            self.error_text = self.errors.read().decode("utf-8", "replace")
        return self.error_text

    def wait_ready(self):
        """The line that begins "reqmeter: ready". Raises AgentError if the agent ends or is silent."""
        text, end = b"", time.monotonic() + READY_SECONDS
        out = self.process.stdout
        while b"\n" not in text:
            left = end - time.monotonic()
            data = os.read(out.fileno(), 4096) if left > 0 and select.select([out], [], [], left)[0] else b""
            if not data:
                self.kill()
                raise AgentError("no ready line; stderr: %s" % self.stderr())
            text += data
        line = text.decode().splitlines()[0]
        if not line.startswith("reqmeter: ready"):
            self.kill()
            raise AgentError("not a ready line: %r" % line)
        return line

    def get(self, path, headers=None):
        """(status, body bytes) of a GET; errors of HTTP are answers too."""
        request = urllib.request.Request("http://%s%s" % (self.address, path), headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def stats(self, **query):
        """The report as parsed JSON; query as in the contract (scope, limit, id…). Raises AgentError if not 200."""
        status, body = self.get("/stats/?" + urllib.parse.urlencode(query, safe=":/"))
        if status != 200:
            raise AgentError("%d: %s" % (status, body.decode("utf-8", "replace")))
        return json.loads(body)

    def rows(self, **query):
        """requests.recent of the report, all of it."""
        return self.stats(limit=100000, **query)["requests"]["recent"]

    def stop(self, seconds=20):
        """SIGTERM; returns the exit code. Kills after `seconds`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AgentError("the agent did not end within %d s of SIGTERM" % seconds) from None
        self.close()
        return code

    def kill(self):
        """SIGKILL, and waits for the end."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        """Keeps what was written on stderr and closes the files."""
        self.stderr()
        self.errors.close()
        self.process.stdout.close()

    def program_ids(self):
        """Ids of the BPF programs that the agent holds, from its descriptors and its links."""
        ids = set()
        for number in os.listdir("/proc/%d/fdinfo" % self.pid):
            try:
                with open("/proc/%d/fdinfo/%s" % (self.pid, number)) as info:
                    ids |= {int(line.split()[1]) for line in info if line.startswith("prog_id:")}
            except OSError:
                continue
        return ids


def refusing(*entries):
    """A prefix for Agent: the kernel refuses these BPF programs and hooks. See refuse.c for what an entry is."""
    return ["env", "LD_PRELOAD=" + build.part("refuse.so"), "REQMETER_REFUSE=" + ",".join(entries)]
