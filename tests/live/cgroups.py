# SPDX-License-Identifier: MIT
"""A cgroup of the test's own, on v1, v2 and hybrid machines; mounts are found through /proc/self/mountinfo."""
import os

from agent import poll_until

V1_CONTROLLERS = ("cpu", "cpuacct", "memory")


class CgroupError(Exception):
    """No usable cgroup hierarchy here."""


def mounts():
    """{"cpu": mount point, …, "v2": mount point} of what is mounted and whose root we can see."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        for line in lines:
            fields, _, tail = line.partition(" - ")
            kind, _, options = tail.split()[:3]
            root, point = fields.split()[3:5]
            if kind == "cgroup2" and root == "/":
                found.setdefault("v2", point)
            elif kind == "cgroup" and root == "/":
                found.update({name: point for name in options.split(",") if name in V1_CONTROLLERS})
    return found


class Cgroup:
    """A new cgroup /NAME in every hierarchy that counts CPU or memory. A context manager; removed when empty."""

    def __init__(self, name):
        self.path = "/" + name
        self.mounts = mounts()
        if "cpuacct" not in self.mounts:
            self.mounts = {key: point for key, point in self.mounts.items() if key == "v2"}
        else:
            self.mounts.pop("v2", None)
        if not self.mounts:
            raise CgroupError("no cgroup hierarchy with CPU accounting is mounted")
        self.dirs = {key: point + self.path for key, point in self.mounts.items()}
        try:
            for directory in sorted(set(self.dirs.values())):
                os.mkdir(directory)
        except OSError as error:
            self.remove()
            raise CgroupError("cannot make %s: %s" % (error.filename, error.strerror)) from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    @property
    def prefix(self):
        """Words to put before a command that shall run inside: a shell that moves itself, then becomes it."""
        moves = "".join('echo 0 > "%s/cgroup.procs" && ' % directory for directory in sorted(set(self.dirs.values())))
        return ["/bin/sh", "-c", moves + 'exec "$@"', "sh"]

    def usage_ns(self):
        """CPU that the kernel counts for the cgroup, in ns."""
        if "cpuacct" in self.dirs:
            with open(self.dirs["cpuacct"] + "/cpuacct.usage", encoding="ascii") as usage:
                return int(usage.read())
        with open(self.dirs["v2"] + "/cpu.stat", encoding="ascii") as stat:
            return 1000 * int(dict(line.split() for line in stat)["usage_usec"])

    def set_quota(self, quota_us, period_us):
        """Lets the cgroup run for quota_us in each period. Raises CgroupError where the kernel has no quotas."""
        values = {"cpu.cfs_period_us": period_us, "cpu.cfs_quota_us": quota_us}
        directory = self.dirs.get("cpu")
        if not directory:
            directory, values = self.dirs.get("v2"), {"cpu.max": "%d %d" % (quota_us, period_us)}
        try:
            for name, value in values.items():
                with open("%s/%s" % (directory, name), "w", encoding="ascii") as file:
                    file.write(str(value))
        except OSError as error:
            raise CgroupError("cannot set a quota: %s" % error) from None

    def set_memory_limit(self, size, swap=None):
        """Lets the cgroup have so many bytes of memory and of swap (None: as it was)."""
        v2 = "memory" not in self.dirs
        directory = self.dirs.get("memory", self.dirs.get("v2"))
        try:
            with open(directory + ("/memory.max" if v2 else "/memory.limit_in_bytes"), "w", encoding="ascii") as file:
                file.write(str(size))
            name = directory + ("/memory.swap.max" if v2 else "/memory.memsw.limit_in_bytes")
            if swap is not None and os.path.exists(name):
                with open(name, "w", encoding="ascii") as file:
                    file.write(str(swap if v2 else size + swap))
        except OSError as error:
            raise CgroupError("cannot set a limit: %s" % error) from None

    def add(self, pid, file="cgroup.procs"):
        """Moves a process here; file="tasks": a thread, on v1."""
        for directory in sorted(set(self.dirs.values())):
            with open("%s/%s" % (directory, file), "w", encoding="ascii") as procs:
                procs.write(str(pid))

    def throttled_ns(self):
        """Time that the kernel says the quota held the cgroup back, over its CPUs."""
        with open(self.dirs.get("cpu", self.dirs.get("v2")) + "/cpu.stat", encoding="ascii") as stat:
            figures = dict(line.split() for line in stat)
        return int(figures["throttled_time"]) if "throttled_time" in figures else 1000 * int(figures["throttled_usec"])

    def pids(self):
        """Processes inside now."""
        directory = next(iter(self.dirs.values()))
        with open(directory + "/cgroup.procs", encoding="ascii") as procs:
            return [int(line) for line in procs]

    def owns(self, entry):
        """True if entry, one of the report's cgroups, is this cgroup."""
        paths = [entry["path"], *(entry["paths"] or {}).values()]
        return self.path in paths

    def remove(self):
        """Removes the cgroup once its last process has gone (up to 10 s; what is left then stays)."""
        for directory in set(self.dirs.values()):
            if os.path.isdir(directory):
                poll_until(lambda at=directory: removed(at), 10)


def removed(directory):
    """Tries to remove a cgroup; True when that worked."""
    try:
        os.rmdir(directory)
    except OSError:
        return False
    return True
