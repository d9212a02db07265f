# SPDX-License-Identifier: MIT
"""The servers under test, each started with the truth library preloaded.

KINDS names every server: how it is started and whether its clients keep their connections.
"""
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import build
import load
from agent import poll_until

PYTHON = "/usr/bin/python3"
SERVERS = os.path.join(build.HERE, "servers")
HTTP_SERVER = [PYTHON, os.path.join(SERVERS, "http_server.py")]
GUNICORN = [PYTHON, "-m", "gunicorn", "--chdir", SERVERS, "--bind", "127.0.0.1:0", "--graceful-timeout", "3",
            "--workers", "2", "app:app"]
GTHREAD = GUNICORN + ["--worker-class", "gthread", "--threads", "8", "--keep-alive", "20"]
C_SERVER = ["{threads}"]
START_SECONDS = 20

# {threads}: the C server; {unix}: a path for a Unix socket in the server's own directory.
Kind = collections.namedtuple("Kind", "command keep_alive")
KINDS = {
    "gunicorn-sync": Kind(GUNICORN, False),
    "gunicorn-gthread": Kind(GTHREAD, True),
    "gunicorn-gthread-close": Kind(GTHREAD, False),
    "python-threading": Kind(HTTP_SERVER + ["threading"], True),
    "python-threading-http10": Kind(HTTP_SERVER + ["threading", "--http", "1.0"], False),
    "python-threading-v6": Kind(HTTP_SERVER + ["threading", "--bind", "tcp6"], True),
    "python-threading-unix": Kind(HTTP_SERVER + ["threading", "--bind", "{unix}"], True),
    "python-forking": Kind(HTTP_SERVER + ["forking"], True),
    "python-forking-http10": Kind(HTTP_SERVER + ["forking", "--http", "1.0"], False),
    "c-thread": Kind(C_SERVER + ["--acceptor-thread"], True),
    "c-thread-close": Kind(C_SERVER + ["--acceptor-thread", "--sends", "2"], False),
    "c-thread-v6": Kind(C_SERVER + ["--v6", "--sends", "2"], True),
    "c-thread-unix": Kind(C_SERVER + ["--unix", "{unix}"], True),
    "c-pool": Kind(C_SERVER + ["--pool", "8", "--sends", "2"], False),
    "c-prefork": Kind(C_SERVER + ["--prefork", "4"], False),
    "c-fork": Kind(C_SERVER + ["--fork"], True),
    "c-fork-close": Kind(C_SERVER + ["--fork"], False),
}


def missing_packages():
    """What the Python servers need and this machine has not, as a reason to skip, or None."""
    check = subprocess.run([PYTHON, "-c", "import flask, gunicorn"], capture_output=True)
    return None if check.returncode == 0 else "%s has no flask or gunicorn" % PYTHON


def scratch():
    """A new directory below build/live/tmp (on disk, so that files can be read cold); the caller removes it."""
    base = os.path.join(build.OUT, "tmp")
    os.makedirs(base, exist_ok=True)
    return tempfile.mkdtemp(dir=base)


def process_stat(path):
    """(state, parent, process group, session) from a stat file; ("X", 0, 0, 0) when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return "X", 0, 0, 0
    return fields[0], *map(int, fields[1:4])


def process_cpu_ns(pid):
    """CPU of a process's threads by the scheduler, those that ended included, ns."""
    # As clock_getcpuclockid(3) makes it: of which process, and of which kind (2: what the scheduler counted).
    return time.clock_gettime_ns(~pid << 3 | 2)


def thread_states(pid):
    """The state letters of a process's threads, none when it has gone."""
    try:
        tids = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return []
    return [process_stat("/proc/%d/task/%s/stat" % (pid, tid))[0] for tid in tids]


class Server:
    """A running server of a kind. endpoint: ("unix", path) or (host, port). A context manager."""

    def __init__(self, kind, preload=True, env=None, prefix=()):
        self.kind = KINDS[kind]
        self.dir = scratch()
        self.truth_file = os.path.join(self.dir, "truth")
        self.log = os.path.join(self.dir, "log")
        # The kernel's limit on a Unix socket's path is 107 bytes, and the checkout may lie deep.
        self.sockets = tempfile.mkdtemp(prefix="reqmeter-")
        names = {"threads": build.part("threads"), "unix": os.path.join(self.sockets, "s")}
        command = [*prefix, *(word.format(**names) for word in self.kind.command)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment(preload, env), start_new_session=True)
        self.endpoint = self.wait_ready()

    def environment(self, preload, env):
        """The server's environment."""
        result = dict(os.environ, TMPDIR=self.dir, PYTHONDONTWRITEBYTECODE="1", **(env or {}))
        if preload:
            result.update(LD_PRELOAD=build.part("truth.so"), TRUTH_FILE=self.truth_file)
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.remove()

    @property
    def pid(self):
        """The pid of the server's first process."""
        return self.process.pid

    def pids(self):
        """All live processes of the server now, by its session; zombies are not among them."""
        result = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            state, _, _, session = process_stat("/proc/%s/stat" % name)
            if session == self.pid and state not in "ZX":
                result.append(int(name))
        return result

    def text(self):
        """What the server printed."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def address(self):
        """The endpoint that the server says it listens on, or None."""
        text = self.text()
        if match := re.search(r"^ready (\S+) (\S+)$", text, re.M):
            host, port = match.groups()
            return (host, port if host == "unix" else int(port))
        if match := re.search(r"Listening at: http://([\d.]+):(\d+)", text):
            return match.group(1), int(match.group(2))
        return None

    def wait_ready(self):
        """Waits until a request is answered; raises RuntimeError with the server's output."""
        endpoint = poll_until(lambda: self.process.poll() is not None or self.address(), START_SECONDS)
        if isinstance(endpoint, tuple) and poll_until(
                lambda: load.get(endpoint, "/health").status == 200, START_SECONDS):
            return endpoint
        self.stop()
        raise RuntimeError("the server did not start: " + self.text())

    def load(self, plan, clients=1, **options):
        """Runs a plan against the server as its kind wants it. See load.run."""
        options.setdefault("keep_alive", self.kind.keep_alive)
        return load.run(self.endpoint, plan, clients, **options)

    def idle(self):
        """True if no thread of the server runs or wants to: whatever was answered has come to its end."""
        return all(state not in "RD" for pid in self.pids() for state in thread_states(pid))

    def stop(self):
        """Waits until the server is idle (5 s at most), then SIGTERM, then until no process of it is left.

        What is left after 10 s gets SIGKILL.
        """
        if self.process.poll() is None:
            poll_until(lambda: self.idle() and self.idle(), 5)
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if not poll_until(lambda: not self.pids(), 10):
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)

    def remove(self):
        """Removes the server's files; the truth is gone afterwards."""
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def truth(self):
        """The lines of the truth library as dicts, without /health. Complete only after stop().

        Raises RuntimeError when the library says that it lost or misunderstood something.
        """
        if not os.path.exists(self.truth_file):
            return []
        with open(self.truth_file, encoding="ascii") as lines:
            lines = [json.loads(line) for line in lines]
        if bad := [line for line in lines if "path" not in line]:
            raise RuntimeError("the truth library lost something: %s" % bad)
        return [line for line in lines if line["path"] != "/health"]
