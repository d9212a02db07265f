# SPDX-License-Identifier: MIT
"""What is read without an agent: recorded machines with cgroup v1, v2 and both, and this machine's own files."""
import json
import os
import subprocess
import sys
import time
import unittest

import trees

from reqmeter import ResourceMonitor, _cgroups, _processes

MIB = 1024 * 1024
LIMIT = 200 * MIB
V2_SLICE = "/kubepods.slice/kubepods-burstable.slice"
V2_POD = V2_SLICE + "/kubepods-burstable-pod0c2f3a9e_7b1d_4e5f_8a6b_9c0d1e2f3a4b.slice"
V2_CONTAINER = V2_POD + "/cri-containerd-4f1d7e0c9b2a43d58e6f70819a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d.scope"
V1_CONTAINER = ("/kubepods/burstable/pod3c2d1e0f-4a5b-4c6d-8e7f-0a1b2c3d4e5f/"
                "1f2e3d4c5b6a79880f1e2d3c4b5a69788f9e0d1c2b3a49586776859403122130")
DOCKER = "/docker/9b1c5d2e7f3a4860b1c2d3e4f5a60718293a4b5c6d7e8f90a1b2c3d4e5f60718"
ODD_LIMITS = """\
==> proc/self/mountinfo <==
1 2 0:33 /top /cg rw - cgroup2 none rw
==> proc/meminfo <==
MemTotal: 1 kB
MemFree: 1 kB
==> cg/memory.max <==
1000
==> cg/memory.current <==
990
==> cg/memory.stat <==
inactive_file 600
==> cg/a/memory.max <==
500
==> cg/a/memory.current <==
100
==> cg/a/memory.stat <==
inactive_file 0
==> cg/b/memory.max <==
500
==> cg/b/memory.current <==
600
==> cg/c/memory.max <==

==> cg/c/memory.current <==
junk
"""


def mem_info(root):
    """The section as this process would answer it there."""
    return _processes.mem_info(_cgroups.own_memory_cgroup(root), root)


def in_bytes(section, *keys):
    """Sizes of the section in bytes."""
    return tuple(None if section[key] is None else section[key] * MIB for key in keys)


class RecordedTest(unittest.TestCase):
    """mem_info of recorded machines, checked against their files."""

    def sizes(self, tree, *keys):
        """Sizes in bytes in a tree."""
        with tree as root:
            return in_bytes(mem_info(root), *keys)

    def test_v2_container(self):
        keys = ("container_limit", "container_used", "container_max_used", "free", "avail")
        self.assertEqual(self.sizes(trees.recorded("v2", "0::%s\n" % V2_CONTAINER), *keys),
                         (67108864, 51458048, 67108864, 67108864 - 51458048, 67108864 - 51458048 + 17035264))

    def test_v2_limit_two_levels_up(self):
        keys = ("container_limit", "container_used", "free")
        self.assertEqual(self.sizes(trees.recorded("v2", "0::%s\n" % V2_POD), *keys),
                         (268435456, 51466240, 268435456 - 51474432))

    def test_v2_without_a_limit(self):
        tree = trees.recorded("v2", "0::/system.slice/gunicorn.service\n")
        self.assertEqual(self.sizes(tree, "container_limit", "container_used"), (None, 188416))

    def test_v2_root(self):
        keys = ("container_limit", "container_used", "container_max_used")
        self.assertEqual(self.sizes(trees.recorded("v2", "0::/\n"), *keys), (None, None, None))

    def test_v1_limit_of_the_pod(self):
        keys = ("container_limit", "container_used", "free", "avail")
        cgroup = "11:pids:/other\n4:memory:%s\n0::/elsewhere\n" % V1_CONTAINER
        self.assertEqual(self.sizes(trees.recorded("v1", cgroup), *keys),
                         (134217728, 32641024, 134217728 - 32903168, 134217728 - 32903168 + 2097152))

    def test_v1_unlimited_is_null(self):
        self.assertEqual(self.sizes(trees.recorded("v1", "4:memory:/kubepods\n"), "container_limit"), (None,))

    def test_hybrid(self):
        keys = ("container_limit", "container_used", "container_max_used")
        self.assertEqual(self.sizes(trees.recorded("hybrid", "4:memory:%s\n0::/\n" % DOCKER), *keys),
                         (67108864, 32641024, 67108864))

    def test_machine(self):
        with trees.recorded("hybrid", "4:memory:/\n0::/\n") as root:
            section = mem_info(root)
        self.assertEqual(in_bytes(section, "total", "avail", "free"), (24684096 << 10, 23424612 << 10, 23271668 << 10))
        self.assertIsNone(section["drum_rss"])

    def test_each_limit_with_its_own_usage(self):
        """Neither b nor c has a memory.stat: there only the one above says what is cache."""
        for name, wanted in (("a", (500, 10, 400)), ("b", (500, 0, 610)), ("c", (1000, 10, 610))):
            with trees.unpacked(ODD_LIMITS, "0::/top/%s\n" % name) as root:
                cgroup = _cgroups.own_memory_cgroup(root)
                limit, free, available = cgroup.limits()
                self.assertEqual((limit, free, available), wanted, name)

    def test_paths_that_lead_elsewhere(self):
        for path in ("/", "/elsewhere", "/top/../..", "/../top/a", "/topmost", "/top/absent", ""):
            with trees.unpacked(ODD_LIMITS, "0::%s\n" % path) as root:
                self.assertIsNone(_cgroups.own_memory_cgroup(root), path)

    def test_nothing_is_there(self):
        nothing = dict.fromkeys(("total", "avail", "free", "drum_rss", "container_limit", "container_max_used",
                                 "container_used"))
        for text in ("", "==> proc/self/mountinfo <==\njunk\n - \n1 2 3\n==> proc/meminfo <==\nMemTotal: much kB\n"):
            with trees.unpacked(text, "junk\n::\n0:\n") as root:
                self.assertEqual(mem_info(root), nothing)


def read_number(path):
    """The number in a file."""
    with open(path, encoding="ascii") as file:
        return int(file.read())


class OwnCgroupTest(unittest.TestCase):
    """A limited cgroup of the test's own; needs root and a writable memory hierarchy."""

    def setUp(self):
        cgroup = _cgroups.own_memory_cgroup()
        if cgroup is None or not os.access(cgroup.path, os.W_OK):
            self.skipTest("no memory cgroup can be made here")
        self.limit_file, self.used_file, self.peak_file = (cgroup._files[name] for name in ("limit", "used", "peak"))
        self.dir = os.path.join(cgroup.path, "reqmeter-python-%d" % os.getpid())
        try:
            os.mkdir(self.dir)
            self.addCleanup(os.rmdir, self.dir)
            with open(os.path.join(self.dir, self.limit_file), "w", encoding="ascii") as file:
                file.write(str(LIMIT))
        except OSError as error:
            self.skipTest("no memory cgroup can be made here: %s" % error)

    def start(self, code):
        """A Python in the cgroup, with the package on its path."""
        move = 'echo 0 > "%s/cgroup.procs" && exec "$@"' % self.dir
        process = subprocess.Popen(["/bin/sh", "-c", move, "sh", sys.executable, "-c", code],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
        self.addCleanup(self.stop, process)
        return process

    @staticmethod
    def stop(process):
        """Ends it by the end of its input."""
        process.communicate()

    def test_sections(self):
        process = self.start("import reqmeter, json, sys\nmonitor = reqmeter.ResourceMonitor()\n"
                             "block = bytearray(b'x' * (50 << 20))\n"
                             "print(json.dumps(monitor.collect_stats()), flush=True)\nsys.stdin.read()")
        report = json.loads(process.stdout.readline())
        section = report["mem_info"]
        self.assertEqual(section["container_limit"] * MIB, read_number(os.path.join(self.dir, self.limit_file)))
        self.assertGreaterEqual(section["container_used"], 50)
        self.assertLessEqual(section["container_max_used"] * MIB, read_number(os.path.join(self.dir, self.peak_file)))
        # Read one after the other, while the process allocates.
        self.assertAlmostEqual(section["free"], section["container_limit"] - section["container_used"], delta=4)
        self.assertEqual([row["pid"] for row in report["drum_info"]], [process.pid])
        self.assertEqual(report["drum_info"][0]["cmdline"], [sys.executable])
        self.assertEqual(report["drum_info"][0]["cpu_percent"], 0.0)
        self.assertGreaterEqual(report["drum_info"][0]["mem"], 50)
        self.assertEqual(section["drum_rss"], report["drum_info"][0]["mem"])
        self.assertIsNone(report["agent"])

    def test_all_processes_below(self):
        below = os.path.join(self.dir, "below")
        os.mkdir(below)
        self.addCleanup(os.rmdir, below)
        waits = "import sys; print(flush=True); sys.stdin.read()"
        processes = [self.start(waits) for _ in range(3)]
        for process in processes:
            process.stdout.readline()
        with open(os.path.join(below, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(processes[2].pid))
        cgroup = _cgroups.own_memory_cgroup()
        ours = _cgroups.MemoryCgroup(cgroup.version, self.dir, [])
        self.assertEqual(ours.pids(3), sorted(process.pid for process in processes))
        self.assertIsNone(ours.pids(2))


class OwnProcessTest(unittest.TestCase):
    """This process."""

    def test_only_this_process(self):
        monitor = ResourceMonitor(monitor_current_process=True)
        block = bytearray(b"x" * (64 << 20))
        rows = monitor.collect_drum_info()
        self.assertEqual([row["pid"] for row in rows], [os.getpid()])
        with open("/proc/self/status", encoding="ascii") as file:
            rss_kib = int(next(line for line in file if line.startswith("VmRSS")).split()[1])
        # The kernel's own estimates differ by some pages for each CPU.
        self.assertAlmostEqual(rows[0]["mem"], rss_kib / 1024, delta=4)
        self.assertGreater(len(block), 0)

    def test_cpu_percent_for_each_client(self):
        monitor = ResourceMonitor(monitor_current_process=True)
        self.assertEqual(monitor.collect_drum_info()[0]["cpu_percent"], 0.0)
        cpu, wall = time.process_time(), time.monotonic()
        while time.process_time() - cpu < 0.3:
            pass
        self.assertEqual(monitor.collect_stats("other")["drum_info"][0]["cpu_percent"], 0.0)
        percent = monitor.collect_drum_info()[0]["cpu_percent"]
        elapsed = time.monotonic() - wall
        # The kernel counts in ticks of 10 ms here.
        self.assertAlmostEqual(percent * elapsed / 100, time.process_time() - cpu, delta=0.06)
        self.assertGreater(percent, 0)

    def test_clients_are_bounded(self):
        monitor = ResourceMonitor(monitor_current_process=True)
        for number in range(_processes.CLIENTS_MAX + 5):
            monitor.collect_stats(str(number))
        self.assertEqual(len(monitor._cpu._seen), _processes.CLIENTS_MAX)

    def test_processes_that_are_gone(self):
        with subprocess.Popen(["true"]) as child:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self.assertIsNone(_processes.read_process(child.pid), "a zombie")
        self.assertIsNone(_processes.read_process(child.pid))
