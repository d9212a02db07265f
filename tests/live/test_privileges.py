# SPDX-License-Identifier: MIT
"""What the agent says where it may not do everything: capabilities, seccomp, namespaces, cgroup mounts.

Each lack is caused, and looked for in three places: the line at start, the feature's row, `reqmeter check`.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import agent
import build
import fixtures
import load

BURN = [load.Request("GET", "/burn?us=2000", b"")]
# Numbers of linux/capability.h.
DAC_OVERRIDE, DAC_READ_SEARCH, SYS_PTRACE, SYS_ADMIN, SYS_NICE, PERFMON, BPF, CHECKPOINT_RESTORE = 1, 2, 19, 21, 23, 38, 39, 40
ALL_WORDS = ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE", "CAP_SYS_NICE",
             "CAP_SYS_ADMIN")

# A server and its only client, in a network namespace of their own; each line on stdin is the id of one more request.
ELSEWHERE = """
import socket, subprocess, sys, threading
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
def serve():
    peer, _ = listener.accept()
    while peer.recv(4096):
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
threading.Thread(target=serve, daemon=True).start()
def ask(number):
    client.sendall(b"GET /older HTTP/1.1\\r\\nHost: x\\r\\nX-Request-ID: %s\\r\\n\\r\\n" % number.encode())
    client.recv(4096)
    print("asked", flush=True)
ask("before")
for line in sys.stdin:
    ask(line.strip())
"""


def setUpModule():
    """Without an agent there is nothing that could be refused."""
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    for program in ("unshare", "ip"):
        if not shutil.which(program):
            raise unittest.SkipTest("no " + program)


def confined(*options):
    """A prefix that runs a program so confined."""
    return [build.part("confine"), *map(str, options), "--"]


def dropped(*numbers):
    """A prefix that takes these capabilities away."""
    return confined(*(word for number in numbers for word in ("--drop", number)))


def only(*numbers):
    """A prefix that leaves nothing but these."""
    return confined(*(word for number in numbers for word in ("--only", number)))


def shell(script, *unshared):
    """A prefix that runs a script in new namespaces, and there the program in its place."""
    return ["unshare", *unshared, "sh", "-ec", script + '; exec "$@"', "sh"]


def failed(features):
    """The names of those that failed, with their reasons."""
    return {f["name"]: f["reason"] for f in features if f["state"] == "failed"}


def check(prefix=(), *args):
    """(exit code, report) of `reqmeter check --json`."""
    done = subprocess.run([*prefix, agent.PROGRAM, "check", "--json", *args], capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout)


def told(text):
    """The lines about features on stderr: name to reason."""
    lines = [line.removeprefix("reqmeter: ") for line in text.splitlines() if line.startswith("reqmeter: ")]
    return dict(line.split(": ", 1) for line in lines if not line.startswith("memory for requests"))


class Refusals(unittest.TestCase):
    """Where nothing, or nothing right, can be measured: one line, exit 1, and `check` says the same."""

    def refusal(self, prefix, *words, without=()):
        """The agent's line has the words and none of the others."""
        command = [*prefix, agent.PROGRAM, "agent", "--listen", "127.0.0.1:%d" % agent.free_port()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual((1, "", 1), (done.returncode, done.stdout, len(done.stderr.splitlines())), done.stderr)
        line = done.stderr.strip().removeprefix("reqmeter: ")
        for word in words:
            self.assertIn(word, line)
        for word in without:
            self.assertNotIn(word, line)
        code, report = check(prefix)
        self.assertEqual((1, False), (code, report["can_run"]))
        without_numbers = lambda text: "".join(c for c in text if not c.isdigit())  # the pid differs
        self.assertEqual(without_numbers(line), without_numbers(report["reason"]))
        self.assertIn(report["reason"], failed(report["features"]).values())

    def test_capabilities(self):
        """Each alone and both; only what is missing is named."""
        others = [word for word in ALL_WORDS if word not in ("CAP_BPF", "CAP_PERFMON")]
        self.refusal(dropped(BPF, SYS_ADMIN), "CAP_BPF", without=["CAP_PERFMON", *others])
        self.refusal(dropped(PERFMON, SYS_ADMIN), "CAP_PERFMON", without=["CAP_BPF", *others])
        self.refusal(dropped(BPF, PERFMON, SYS_ADMIN), "CAP_BPF", "CAP_PERFMON", without=others)

    def test_seccomp(self):
        """A filter is blamed, and no capability that is there."""
        for options in (("--no-bpf", "eperm"), ("--no-bpf", "enosys"), ("--no-load",)):
            with self.subTest(options):
                self.refusal(confined(*options), "seccomp", "bpf", without=("CAP_", "root"))

    def test_user_namespace(self):
        """Full capabilities that count for nothing."""
        if subprocess.run(["unshare", "-Ur", "true"]).returncode:
            self.skipTest("no user namespaces here")
        self.refusal(["unshare", "-Ur"], "user namespace", without=("CAP_", "seccomp"))

    def test_pid_namespace(self):
        """Pids that are not the kernel's, with a /proc to match and without."""
        for options in (("-pf", "--mount-proc"), ("-pf",)):
            with self.subTest(options):
                self.refusal(["unshare", *options], "PID namespace", "hostPID", "--allow-pid-namespace")

    def test_other_proc(self):
        """The kernel's pids, but another namespace's /proc."""
        prefix = shell("unshare -pf mount -t proc proc /proc", "-m")
        self.refusal(prefix, "/proc", "PID namespace", without=("hostPID", "CAP_"))

    def test_run(self):
        """`reqmeter run` refuses, too, and does not run the command."""
        with tempfile.TemporaryDirectory() as directory:
            mark = os.path.join(directory, "mark")
            for prefix, word in ((["unshare", "-pf", "--mount-proc"], "PID namespace"), (confined("--no-bpf", "eperm"), "seccomp")):
                done = subprocess.run([*prefix, agent.PROGRAM, "run", "--", "touch", mark], capture_output=True, text=True,
                                      timeout=60)
                self.assertEqual((125, 1), (done.returncode, len(done.stderr.splitlines())), done.stderr)
                self.assertIn(word, done.stderr)
                self.assertFalse(os.path.exists(mark))


class WithRows(unittest.TestCase):
    """Helpers: an agent that lacks something, and rows of requests that are right all the same."""

    @classmethod
    def setUpClass(cls):
        """What fails here with all privileges is no matter of theirs."""
        cls.before = set(failed(check()[1]["features"]))

    def lost(self, prefix):
        """What an agent so confined says it lacks, the same in all three places."""
        with agent.Agent(prefix=prefix) as meter:
            features = failed(meter.stats(sections="agent")["agent"]["features"])
            self.assertEqual(features, told(meter.stderr()))
            self.check_rows(meter)
            self.assertEqual(0, meter.stop())
        code, report = check(prefix)
        self.assertEqual((0, features), (code, failed(report["features"])))
        return {name: reason for name, reason in features.items() if name not in self.before}

    def check_rows(self, meter):
        """A server's requests: one right row each."""
        with fixtures.Server("c-thread", preload=False) as server:
            asked = sorted(result.id for result in server.load(BURN * 4, prefix="lost"))
            look = lambda: [r for r in meter.rows(scope="pid:%d" % server.pid) if r["id"].startswith("lost")]
            agent.poll_until(lambda: len(look()) == len(asked), 10, 0.1)
            rows = look()
            self.assertEqual(asked, sorted(row["id"] for row in rows))
            for row in rows:
                self.assertEqual(("completed", 200, server.pid), (row["outcome"], row["status"], row["pid"]))
                self.assertTrue(2000000 <= row["cpu_ns"] <= 2600000, row["cpu_ns"])


class Lost(WithRows):
    """What costs a feature: one line each, a row each."""

    def check_lost(self, prefix, expected, elsewhere=()):
        """Exactly these are lost, each for want of exactly these capabilities; `elsewhere`: what other namespaces want.

        These are entered only where nothing better tells of the end of Unix sockets.
        """
        lost = self.lost(prefix)
        if elsewhere and "socket-ends" in lost:
            expected = {**expected, "socket-ends": elsewhere}
        self.assertEqual(set(expected), set(lost))
        for name, reason in lost.items():
            self.assertEqual(set(expected[name]), {word for word in ALL_WORDS if word in reason}, reason)

    def test_nothing(self):
        """With everything, nothing is said."""
        self.check_lost([], {})

    def test_sys_ptrace(self):
        """Other processes' namespaces and descriptors."""
        lost = ("CAP_SYS_PTRACE",)
        self.check_lost(dropped(SYS_PTRACE), {"older-connections": lost, "tcp-self": lost, "sdk": lost}, lost)

    def test_dac_read_search(self):
        """Other users' descriptors; CAP_DAC_OVERRIDE would do as well."""
        lost = ("CAP_DAC_READ_SEARCH",)
        self.check_lost(dropped(DAC_READ_SEARCH, DAC_OVERRIDE), {"tcp-self": lost, "sdk": lost})
        self.check_lost(dropped(DAC_READ_SEARCH), {})

    def test_checkpoint_restore(self):
        """What other programs map; CAP_SYS_ADMIN would do as well."""
        lost = self.lost(dropped(CHECKPOINT_RESTORE, SYS_ADMIN))
        self.assertEqual({"CAP_CHECKPOINT_RESTORE"}, {word for word in ALL_WORDS if word in lost["sdk"]})

    def test_sys_nice(self):
        """The place before others."""
        self.check_lost(dropped(SYS_NICE), {"priority": ("CAP_SYS_NICE",)})

    def test_sys_admin(self):
        """Entering other network namespaces."""
        self.check_lost(dropped(SYS_ADMIN), {}, ("CAP_SYS_ADMIN",))

    def test_least(self):
        """The two that it cannot do without: all is lost that can be."""
        lost = self.lost(only(BPF, PERFMON))
        self.assertLessEqual({"older-connections", "tcp-self", "sdk", "priority"}, set(lost))
        self.assertEqual(set(), {word for reason in lost.values() for word in ("CAP_BPF", "CAP_PERFMON") if word in reason})

    def test_run_says_what_matters(self):
        """`reqmeter run` does not speak of what its report does not need."""
        done = subprocess.run([*only(BPF, PERFMON), agent.PROGRAM, "run", "--", "true"], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        lines = set(told(done.stderr))
        self.assertIn("sdk", lines)
        self.assertEqual(set(), lines & {"older-connections", "tcp-self", "priority", "host-cgroups"})

    def older_row(self, prefix):
        """Rows of a request on a connection that is older than the agent, in another network namespace; what failed."""
        command = ["unshare", "-n", sys.executable, "-c", ELSEWHERE]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            try:
                self.assertEqual("asked\n", server.stdout.readline())
                with agent.Agent(prefix=prefix) as meter:
                    server.stdin.write("after\n")
                    server.stdin.flush()
                    self.assertEqual("asked\n", server.stdout.readline())
                    self.check_rows(meter)  # whose rows came later
                    return meter.rows(id="after"), failed(meter.stats(sections="agent")["agent"]["features"])
            finally:
                server.stdin.close()

    def test_older_connections(self):
        """The feature says whether they have rows."""
        rows, features = self.older_row([])
        self.assertEqual(["inferred"], [row["attribution"]["confidence"] for row in rows])
        self.assertNotIn("older-connections", features)
        rows, features = self.older_row(dropped(SYS_PTRACE))
        self.assertEqual([], rows)
        self.assertIn("older-connections", features)


class Namespace(unittest.TestCase):
    """--allow-pid-namespace."""

    def test_allowed(self):
        """It starts, says what is wrong, and no process is explained by its rows."""
        meter = agent.Agent("--allow-pid-namespace", prefix=["unshare", "-pf", "--mount-proc", "--kill-child"])
        self.addCleanup(meter.kill)
        reason = failed(meter.stats(sections="agent")["agent"]["features"])["pid-namespace"]
        self.assertEqual(reason, told(meter.stderr())["pid-namespace"])
        self.assertIn("taken for dead", reason)
        report = check([], "--pid", str(os.getpid()), "--agent", "http://" + meter.address)[1]
        self.assertEqual(("other-pids", None), (report["process"]["verdict"], report["process"]["rows"]))

    def test_check_elsewhere(self):
        """`check --pid` in a PID namespace of its own does not take the agent's numbers for its own."""
        with agent.Agent() as meter:
            report = check(["unshare", "-pf", "--mount-proc"], "--pid", "1", "--agent", "http://" + meter.address)[1]
            self.assertEqual(("other-pids", None), (report["process"]["verdict"], report["process"]["rows"]))


class Cgroups(WithRows):
    """Mounts that show no cgroup, or a part of them."""

    def setUp(self):
        """The mount of the hierarchy that accounts CPU, and a cgroup of ours in it."""
        reason = {f["name"]: f["reason"] for f in check()[1]["features"]}["host-cgroups"]
        self.point = reason.removesuffix(" shows all of the machine's")
        if self.point == reason:
            self.skipTest(reason)
        self.part = os.path.join(self.point, "reqmeter-part-%d" % os.getpid())
        os.mkdir(self.part)
        self.addCleanup(os.rmdir, self.part)

    def check_part(self, prefix):
        """The mount is named; cgroups outside of it are not in the report under any path."""
        lost = self.lost(prefix)
        self.assertEqual({"host-cgroups"}, set(lost))
        self.assertIn(self.point, lost["host-cgroups"])
        with agent.Agent(prefix=prefix) as meter:
            self.check_rows(meter)
            shown = {row["id"] for row in meter.stats(sections="cgroups")["cgroups"]}
            self.assertLessEqual(shown, {os.stat(self.part).st_ino})

    def test_part(self):
        """A subtree is mounted in the place of the whole."""
        self.check_part(shell("mount --bind %s %s" % (self.part, self.point), "-m"))

    def test_namespace(self):
        """A cgroup namespace with a mount of its own, as containers have it."""
        with open("/proc/self/mountinfo") as mounts:
            kind, options = next((rest.split()[0], rest.split()[2]) for line, _, rest in
                                 (line.partition(" - ") for line in mounts) if line.split()[4] == self.point)
        mount = ("mount -t cgroup2 cgroup2 %s" if kind == "cgroup2" else
                 "mount -t cgroup -o %s cgroup %%s" % options.removeprefix("rw,")) % self.point
        inner = shell("umount %s; %s" % (self.point, mount), "-C", "-m")
        enter = ["sh", "-ec", 'echo $$ > %s/cgroup.procs; exec "$@"' % self.part, "sh"]
        self.check_part(enter + inner)

    def test_none(self):
        """No cgroup mount at all."""
        prefix = shell("umount -l /sys/fs/cgroup", "-m")
        self.assertIn("no cgroup hierarchy", self.lost(prefix)["host-cgroups"])
        with agent.Agent(prefix=prefix) as meter:
            self.check_rows(meter)
            self.assertEqual([], meter.stats(sections="cgroups")["cgroups"])


if __name__ == "__main__":
    unittest.main()
