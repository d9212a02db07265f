# SPDX-License-Identifier: MIT
"""The memory cgroup of this process: where it is, and what it says. cgroup v1, v2 and both side by side.

Its place comes from /proc/self/cgroup and mountinfo, never from the mount's root alone. Everything here is read anew at
each call; what cannot be read is None. root: the machine's root directory, "/" or a recorded tree.
"""
import os
import re

FILE_MAX = 1 << 20
READ_BYTES = 1 << 14  # more than such files mostly have
# v1's "no limit" is the greatest number of whole pages below 2^63; this holds for pages of up to 64 KiB.
V1_UNLIMITED = (1 << 63) - 1 - 0xFFFF
CGROUPS_MAX = 1024  # below the own one; more are too many to walk within a request

_FILES = {
    1: {"limit": "memory.limit_in_bytes", "used": "memory.usage_in_bytes", "peak": "memory.max_usage_in_bytes",
        "cache": "total_inactive_file"},
    2: {"limit": "memory.max", "used": "memory.current", "peak": "memory.peak", "cache": "inactive_file"},
}


def read_text(path):
    """A file's text, cut at 1 MiB; None when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    data = b""
    try:
        while len(data) < FILE_MAX and (part := os.read(fd, READ_BYTES)):
            data += part
    except OSError:
        return None
    finally:
        os.close(fd)
    return data.decode("utf-8", "surrogateescape")


def _read_number(path):
    text = (read_text(path) or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def keyed_number(text, key):
    """The number behind a key in lines of `key number`; None without one."""
    match = re.search(r"^%s:?[ \t]+([0-9]+)\b" % re.escape(key), text or "", re.M)
    return int(match[1]) if match else None


def _own_path(text, controller):
    """The path in /proc/PID/cgroup of a v1 controller, or of v2 when controller is None."""
    for line in (text or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (controller in controllers.split(",")) if controller else (number == "0" and not controllers):
            return path.removesuffix(" (deleted)")
    return None


def _unescape(text):
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _mounts(text, version):
    """(mount point, root of the mount) of the v1 memory controller or of v2, those that show most of the path first."""
    found = []
    for line in (text or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        options = kind[2].split(",")
        if kind[0] == ("cgroup" if version == 1 else "cgroup2") and (version == 2 or "memory" in options):
            found.append((_unescape(fields[4]), _unescape(fields[3])))
    return sorted(found, key=lambda mount: len(mount[1]))


def _below(path, mount_root):
    """The path from the mount's root down to the cgroup as a list of names; None when it lies elsewhere."""
    prefix = [] if mount_root == "/" else mount_root.strip("/").split("/")
    names = [name for name in path.split("/") if name]
    if names[:len(prefix)] != prefix or ".." in names or "." in names:
        return None
    return names[len(prefix):]


class MemoryCgroup:
    """A cgroup and those above it as far as they can be seen."""

    def __init__(self, version, mount, names):
        self.version = version
        self.path = os.path.join(mount, *names)
        self._upwards = [os.path.join(mount, *names[:n]) for n in range(len(names), -1, -1)]
        self._files = _FILES[version]

    def _limit(self, directory):
        limit = _read_number(os.path.join(directory, self._files["limit"]))
        return None if limit is None or (self.version == 1 and limit >= V1_UNLIMITED) else limit

    def _is_root(self):
        """The whole machine, not a container. A cgroup namespace calls its own top / as well, but has no such file."""
        return os.path.exists(os.path.join(self.path, "release_agent"))

    def used_bytes(self):
        """Current usage of the cgroup itself; None for the root, which is no container."""
        return None if self._is_root() else _read_number(os.path.join(self.path, self._files["used"]))

    def peak_bytes(self):
        """Highest usage of the cgroup itself; None for the root, and on kernels that do not keep it."""
        return None if self._is_root() else _read_number(os.path.join(self.path, self._files["peak"]))

    def limits(self):
        """(tightest limit, least limit − usage, the same without inactive file cache) on the path, in bytes."""
        limits, free, available = [], [], []
        for directory in self._upwards:
            limit = self._limit(directory)
            if limit is None:
                continue
            limits.append(limit)
            used = _read_number(os.path.join(directory, self._files["used"]))
            if used is None:
                continue
            free.append(max(0, limit - used))
            cache = keyed_number(read_text(os.path.join(directory, "memory.stat")), self._files["cache"])
            if cache is not None:
                available.append(max(0, limit - max(0, used - cache)))
        return min(limits, default=None), min(free, default=None), min(available, default=None)

    def pids(self, most):
        """The processes in it and below, ascending; None when they are more than `most` or cannot be listed."""
        pids, n_cgroups = set(), 0
        for directory, _, _ in os.walk(self.path):
            n_cgroups += 1
            # 0 stands for a process of another pid namespace.
            words = (read_text(os.path.join(directory, "cgroup.procs")) or "").split()
            pids.update(int(pid) for pid in words if pid != "0")
            if len(pids) > most or n_cgroups > CGROUPS_MAX:
                return None
        return sorted(pids) if n_cgroups else None


def own_memory_cgroup(root="/"):
    """The MemoryCgroup of this process; None when there is none to be seen."""
    own = read_text(os.path.join(root, "proc/self/cgroup"))
    mountinfo = read_text(os.path.join(root, "proc/self/mountinfo"))
    for version, controller in ((1, "memory"), (2, None)):
        path = _own_path(own, controller)
        if path is None:
            continue
        for mount, mount_root in _mounts(mountinfo, version):
            names = _below(path, mount_root)
            directory = os.path.join(root, mount.lstrip("/"))
            if names is not None and os.path.isdir(os.path.join(directory, *names)):
                return MemoryCgroup(version, directory, names)
    return None
