# SPDX-License-Identifier: MIT
"""Servers of other projects, each with a configuration of its own in a new directory, on a free loopback port.

Daemon is what they share; nginx, Apache and the rest are in servers/. Nothing of what the machine has configured is
read, and only what was started here is ended.
"""
import glob
import os
import shutil
import subprocess
import tempfile
import unittest.mock

import agent
import build
import fixtures
import load

SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
C_FLAGS = ["-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE", "-pthread"]


def program(*names):
    """Path of the first of these programs that is there, or None. A name with "*" is a path to search for."""
    for name in names:
        found = (sorted(glob.glob(name)) or [None])[-1] if "*" in name else shutil.which(name, path=SYSTEM_PATH)
        if found:
            return found
    return None


def c_program(source):
    """Path of a C server below servers/, built when its source is newer (build.part knows only its own list)."""
    source = os.path.join(fixtures.SERVERS, source)
    target = os.path.join(build.OUT, os.path.basename(source)[:-2])
    if build.stale(target, [source]):
        os.makedirs(build.OUT, exist_ok=True)
        compiler = os.environ.get("CC", "gcc")
        subprocess.run([compiler, *C_FLAGS, *build.WARNINGS, "-o", target + ".part", source], check=True)
        os.rename(target + ".part", target)
    return target


class Daemon(fixtures.Server):
    """A running server. Subclasses write their files in configure(), which returns the command."""

    PROGRAMS = ()
    KEEP_ALIVE = True

    def __init__(self, preload=False, env=None, prefix=()):
        # Workers that gave up root must be able to read it, so it does not lie in the checkout.
        self.dir = self.sockets = tempfile.mkdtemp(prefix="reqmeter-")
        os.chmod(self.dir, 0o755)
        self.truth_file, self.log = self.path("truth"), self.path("log")
        self.endpoint = ("127.0.0.1", agent.free_port())
        command = [*prefix, *self.configure()]
        self.kind = fixtures.Kind(command, self.KEEP_ALIVE)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir,
                                            env=self.environment(preload, env), start_new_session=True)
        self.wait_ready()

    @classmethod
    def missing(cls):
        """Why this server cannot be started here, or None."""
        return None if program(*cls.PROGRAMS) else "no %s here: scripts/setup test" % cls.PROGRAMS[0]

    @property
    def port(self):
        """The TCP port."""
        return self.endpoint[1]

    def configure(self):
        """Writes what the server reads; returns the command that runs it in the foreground."""
        raise NotImplementedError

    def path(self, name):
        """A path in the server's directory."""
        return os.path.join(self.dir, name)

    def write(self, name, content, mode=0o644):
        """Writes a file of the server's directory; returns its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, mode)
        return path

    def write_pages(self):
        """What is served as files, below www/."""
        for name, size in {"health": 3, "small": 300, "middle": 30000, "large": 2000000}.items():
            self.write("www/" + name, b"r" * size)
        return self.path("www")

    def wait_ready(self, seconds=20):
        """Waits until /health is answered; raises RuntimeError with what the server said."""
        def look():
            return self.process.poll() is not None or load.get(self.endpoint, "/health").status == 200

        if not agent.poll_until(look, seconds, 0.05) or self.process.poll() is not None:
            said = self.said()
            self.stop()
            self.remove()
            raise RuntimeError("the server did not start: " + said)

    def said(self):
        """What the server printed or wrote to its log of errors."""
        text = self.text()
        if os.path.exists(self.path("errors")):
            with open(self.path("errors"), encoding="utf-8", errors="replace") as errors:
                text += errors.read()
        return text[-2000:]


def settled(meter, scope, ids, seconds=10):
    """The rows of a scope once every id has one and a later report has no more; what there is when time is up."""
    seen = {"count": -1, "at": 0, "rows": []}

    def look():
        report = meter.stats(scope=scope, limit=100000)
        rows, at = report["requests"]["recent"], report["generated_unix_ns"]
        if at == seen["at"]:
            return None
        same = len(rows) == seen["count"] and ids <= {row["id"] for row in rows}
        seen.update(count=len(rows), at=at, rows=rows)
        return rows if same else None

    return agent.poll_until(look, seconds, 0.1) or seen["rows"]


def connections(meter, pid):
    """Accepted connections of a process and its descendants by protocol, summed over those that live."""
    report = meter.stats(scope="pid:%d" % pid, sections="processes")
    total = dict.fromkeys(("http1", "http2", "tls", "other"), 0)
    for process in report["processes"]:
        for protocol in total:
            total[protocol] += process["connections"][protocol] or 0
    return total


def read_answer(sock):
    """load.read_answer, which knows Content-Length only, and chunked bodies: Apache makes them of what CGI writes."""
    status, headers, body = READ_ANSWER(sock)
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return status, headers, body
    whole = b""
    while True:
        while b"\r\n" not in body:
            body += load.received(sock)
        length, _, body = body.partition(b"\r\n")
        length = int(length, 16)
        while len(body) < length + 2:
            body += load.received(sock)
        whole, body = whole + body[:length], body[length + 2:]
        if length == 0:
            return status, headers, whole


def run_load(endpoint, plan, clients, **options):
    """(results, number of connections that were opened) of load.run."""
    opened, connect = [], load.connect

    def counting(to):
        opened.append(to)
        return connect(to)

    with unittest.mock.patch.multiple(load, connect=counting, read_answer=read_answer):
        return load.run(endpoint, plan, clients, **options), len(opened)


READ_ANSWER = load.read_answer
