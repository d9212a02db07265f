# SPDX-License-Identifier: MIT
"""The processes of the own cgroup from /proc, and mem_info and drum_info made of them: the answer without an agent."""
import collections
import os
import threading
import time

from reqmeter import _cgroups

MIB = 1024 * 1024
CLIENTS_MAX = 256  # contract
PROCESSES_MAX = 1024  # more cannot be read within the time that a report may take
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# pid, start_ticks since boot, cpu_ns, rss_bytes, cmdline: a list of one element, the program.
Process = collections.namedtuple("Process", "pid start_ticks cpu_ns rss_bytes cmdline")


def read_process(pid):
    """The Process; None when it has gone or is a zombie."""
    head, _, rest = (_cgroups.read_text("/proc/%d/stat" % pid) or "").rpartition(")")
    fields = rest.split()
    if len(fields) < 22 or fields[0] in ("Z", "X"):
        return None
    program = (_cgroups.read_text("/proc/%d/cmdline" % pid) or "").split("\0")[0] or head.partition("(")[2]
    cpu_ns = (int(fields[11]) + int(fields[12])) * _TICK_NS
    return Process(pid, int(fields[19]), cpu_ns, int(fields[21]) * _PAGE_BYTES, [_readable(program)])


def _readable(text):
    """Without the surrogates that stand for bytes which are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_processes(pids):
    """Those of the pids that are alive."""
    return [process for process in map(read_process, pids) if process]


class CpuPercent:
    """Percent of one core since the same client's last look. Any thread; at most 256 clients, least recent out."""

    def __init__(self):
        self.after_fork()

    def after_fork(self):
        """Another thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._seen = collections.OrderedDict()  # client: (ns, {(pid, start): cpu_ns})

    def since_last_look(self, client, processes):
        """A list of percentages, 0.0 at the client's first look."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        cpu = {(process.pid, process.start_ticks): process.cpu_ns for process in processes}
        with self._lock:
            before_ns, before = self._seen.pop(client, (now_ns, cpu))
            self._seen[client] = (now_ns, cpu)
            if len(self._seen) > CLIENTS_MAX:
                self._seen.popitem(last=False)
        elapsed_ns = max(1, now_ns - before_ns)
        return [100.0 * _used_since(key, cpu_ns, before_ns, before) / elapsed_ns for key, cpu_ns in cpu.items()]


def _used_since(key, cpu_ns, before_ns, before):
    """CPU of a process since that look. One that is older and was not seen then came from elsewhere: not known, 0."""
    if key not in before and key[1] * _TICK_NS < before_ns:
        return 0
    return max(0, cpu_ns - before.get(key, 0))


def drum_info(processes, percents):
    """The section of the report; sizes in MiB."""
    return [{"pid": process.pid, "cmdline": process.cmdline, "mem": process.rss_bytes / MIB, "cpu_percent": percent}
            for process, percent in zip(processes, percents)]


def drum_rss(section):
    """The sum of the section's `mem`; None for None."""
    return None if section is None else sum((row["mem"] for row in section), 0.0)


def _mib(n_bytes):
    return None if n_bytes is None else n_bytes / MIB


def _least(*values):
    return min((value for value in values if value is not None), default=None)


def mem_info(cgroup, root="/"):
    """The section without drum_rss. cgroup: a MemoryCgroup or None; what is not known is None."""
    meminfo = _cgroups.read_text(os.path.join(root, "proc/meminfo"))
    total, available, free = (kib * 1024 if (kib := _cgroups.keyed_number(meminfo, key)) is not None else None
                              for key in ("MemTotal", "MemAvailable", "MemFree"))
    limit, limit_free, limit_available = cgroup.limits() if cgroup else (None, None, None)
    return {
        "total": _mib(total),
        "avail": _mib(_least(available, limit_available)),
        "free": _mib(_least(free, limit_free)),
        "drum_rss": None,
        "container_limit": _mib(limit),
        "container_max_used": _mib(cgroup.peak_bytes() if cgroup else None),
        "container_used": _mib(cgroup.used_bytes() if cgroup else None),
    }
