# SPDX-License-Identifier: MIT
"""A running servers/predict.py, inside a cgroup if need be; and what the files of that cgroup say."""
import os
import subprocess

import agent
import fixtures
import load

SCRIPT = os.path.join(fixtures.SERVERS, "predict.py")
MIB = 1 << 20
# The same figure in v1 and v2.
FILES = {
    "current": ("memory.usage_in_bytes", "memory.current"),
    "peak": ("memory.max_usage_in_bytes", "memory.peak"),
    "limit": ("memory.limit_in_bytes", "memory.max"),
}


class Predictor:
    """The server. endpoint: (host, port). A context manager; ends only what it started."""

    def __init__(self, prefix=()):
        self.process = subprocess.Popen([*prefix, fixtures.PYTHON, SCRIPT], stdout=subprocess.PIPE, text=True)
        self.endpoint = ("127.0.0.1", int(self.process.stdout.readline()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def scope(self):
        """The server as a selector."""
        return "pid:%d" % self.process.pid

    def ask(self, *paths, clients=1):
        """One POST for each path; all must be answered. A list of load.Result."""
        results = load.run(self.endpoint, [load.Request("POST", path, b"{}") for path in paths], clients)
        assert all(result.status for result in results), results
        return results


def settled_rows(meter, scope, results):
    """The finished rows of these requests, once all are there."""
    ids = {result.id for result in results}

    def look():
        rows = [row for row in meter.rows(scope=scope, sections="requests") if row["id"] in ids]
        return rows if len(rows) == len(ids) else None

    rows = agent.poll_until(look, 20, 0.1)
    assert rows, "not all of %d requests have rows" % len(ids)
    return rows


def memory_dir(group):
    """Directory of a cgroups.Cgroup that has the memory controller's files, or None."""
    directory = group.dirs.get("memory") or group.dirs.get("v2")
    return directory if directory and any(os.path.exists(os.path.join(directory, name)) for name in FILES["current"]) else None


def path_of(group, what):
    """The file that holds a figure of FILES."""
    old, new = (os.path.join(memory_dir(group), name) for name in FILES[what])
    return old if os.path.exists(old) else new


def read(group, what):
    """A figure of FILES in bytes."""
    with open(path_of(group, what), encoding="ascii") as file:
        return int(file.read())


def set_limit(group, mib):
    """Limits a cgroup's memory."""
    with open(path_of(group, "limit"), "w", encoding="ascii") as file:
        file.write(str(mib * MIB))


def stat(group, *names):
    """One line of memory.stat in bytes: the first of the names that is there."""
    with open(os.path.join(memory_dir(group), "memory.stat"), encoding="ascii") as file:
        lines = dict(line.split() for line in file)
    return next(int(lines[name]) for name in names if name in lines)
