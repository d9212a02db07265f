# SPDX-License-Identifier: MIT
"""What must work on every kernel: requests have exact rows, threads the scheduler's own figures, ledgers close.

Runs in guests where everything is ten times slower: counts and sums are compared, never durations. All times are ns.
"""
import collections
import json
import os
import platform
import subprocess
import threading
import time
import unittest

import accuracy
import agent
import build
import cgroups
import compare
import fixtures
import load

HERE = os.path.dirname(os.path.abspath(__file__))
VERIFY = os.path.join(build.ROOT, "build", "verify")
OLDEST = (5, 15)
# From here on programs at tracepoints can be preempted, and the kernel passes over one that another thread is in.
PREEMPTIBLE = (7, 0)
# Of some ten thousand: a guest lost 3.
SWITCHES_HIDDEN = 100
REQUESTS, CLIENTS = 30, 3
CLOSING_SHARE = 0.8
MS = 10**6
# What the scheduler books as CPU and what it counts as waiting overlap by what a switch takes: 5 us on hardware, and
# here milliseconds when the host halts the guest within one. We count it once, so of waiting we have this much less.
OVERLAP_SHARE = 0.25
SWITCH = 30000
METER = None
# The verifier looks at some million instructions, emulated, beside whatever else the machine does.
VERIFY_SECONDS = 800
# BPF programs that the guest's kernel is made to refuse: see scripts/kernels.
PREFIX = agent.refusing(os.environ["REQMETER_REFUSE"]) if os.environ.get("REQMETER_REFUSE") else []
# How long something may take to appear, in a guest on a machine that is busy with other things.
PATIENCE_S = 90
# A server that is idle at so many looks has begun: none of its processes starts up between two of them.
IDLE_LOOKS, IDLE_LOOK_S = 5, 0.1
MOVERS = ("movers", "movers-unix")
fixtures.START_SECONDS = agent.READY_SECONDS = PATIENCE_S

# Debian's gunicorn with an application of our own: no framework to load, which takes long in a guest.
fixtures.KINDS.update({
    "gunicorn": fixtures.Kind([fixtures.PYTHON, "-m", "gunicorn", "--chdir", HERE, "--pythonpath", fixtures.SERVERS,
                               "--bind", "127.0.0.1:0", "--workers", "2", "wsgi:app"], False),
    "movers": fixtures.Kind([fixtures.PYTHON, os.path.join(HERE, "movers.py")], True),
    "movers-unix": fixtures.Kind([fixtures.PYTHON, os.path.join(HERE, "movers.py"), "{unix}"], True),
})


def kernel():
    """(major, minor) of the running kernel."""
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


def preempts():
    """Was the kernel told to switch threads within its own work?"""
    with open("/proc/cmdline", encoding="ascii") as line:
        return "preempt=full" in line.read().split()


def check(*options):
    """`reqmeter check`, ended."""
    return subprocess.run([*PREFIX, agent.PROGRAM, "check", *options], capture_output=True, text=True, timeout=120, check=False)


def bpftool(kind):
    """Everything of a kind (prog, map, link) that the kernel holds, as bpftool's dicts."""
    return json.loads(subprocess.run(["/usr/sbin/bpftool", "-j", kind, "show"], capture_output=True, check=True).stdout)


def bpf_objects():
    """{(kind, id)} of everything BPF that the kernel holds."""
    return {(kind, entry["id"]) for kind in ("prog", "map", "link") for entry in bpftool(kind)}


def plan():
    """The requests of one load: most burn, some sleep, echo a body, or ask for what is not there."""
    mixed = [load.Request("GET", "/burn?us=3000", b""), load.Request("GET", "/burn?us=20000", b""),
             load.Request("GET", "/sleep?us=5000", b""), load.Request("POST", "/echo", b"x" * 3000),
             load.Request("GET", "/none", b"")]
    return [mixed[i % len(mixed)] for i in range(REQUESTS)]


class Counted(load.Client):
    """A client that knows how many bytes each exchange took: `moved` has (sent, received) by id."""

    moved = {}

    def ask(self, request, request_id):
        """As load.Client.ask(); the connection is made here, with its bytes counted."""
        self.sock = self.sock or CountedSocket(load.connect(self.endpoint))
        sock = self.sock
        sock.sent = sock.received = 0
        result = super().ask(request, request_id)
        self.moved[request_id] = (sock.sent, sock.received)
        return result


class CountedSocket:
    """The few calls of a socket that load.py makes, counted."""

    def __init__(self, sock):
        self.sock = sock
        self.close = sock.close
        self.sent = self.received = 0

    def sendall(self, data):
        """Counts and sends."""
        self.sent += len(data)
        self.sock.sendall(data)

    def recv(self, size):
        """Receives and counts."""
        data = self.sock.recv(size)
        self.received += len(data)
        return data


def stays_idle(server):
    """
    Have all its processes begun, and wait? One that begins under load and never waits cannot be told from a loop that never
    sleeps, where beginning takes long: its rows are `boundary` until it has waited for somebody.
    """
    for _ in range(IDLE_LOOKS):
        if not server.idle():
            return False
        time.sleep(IDLE_LOOK_S)
    return True


def run(server, requests):
    """Runs the requests by CLIENTS clients at once; their load.Result."""
    prefix, results = load.unique_prefix(), []

    def work(first):
        client = Counted(server.endpoint, server.kind.keep_alive)
        for i in range(first, len(requests), CLIENTS):
            results.append(client.ask(requests[i], "%s-%05d" % (prefix, i)))
        client.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def rows_of(server, results):
    """The server's rows of these results, once each has one and a later report has no more (or after PATIENCE_S)."""
    ids = {result.id for result in results}
    seen = []

    def look():
        rows = [row for row in METER.rows(scope="pid:%d" % server.pid) if row["id"] in ids]
        same = bool(seen) and len(rows) == len(seen[-1]) and ids <= {row["id"] for row in rows}
        seen.append(rows)
        return same

    agent.poll_until(look, PATIENCE_S, 0.3)
    return seen[-1]


def agent_section():
    """`agent` of the report."""
    return METER.stats(sections="agent")["agent"]


def misses():
    """{program: how often the kernel has passed over it}, those that never were left out."""
    return {entry["name"]: entry["recursion_misses"] for entry in bpftool("prog") if entry.get("recursion_misses")}


def edges_missed():
    """How many reads and writes no program has seen, at most: two hooks have a second program for what one misses."""
    missed = collections.Counter(misses())
    alone = sum(count for name, count in missed.items() if name.endswith(("msg", "sendpage", "splice_read")))
    return alone + sum(min(missed[name], missed[name + "_second"]) for name in ("on_receive", "on_send"))


def feature(name):
    """One of the agent's features."""
    return next(row for row in agent_section()["features"] if row["name"] == name)


def wrong_with(result, rows):
    """What is not right about the rows of a request, or None."""
    if len(rows) != 1:
        return "%s %s: %d rows" % (result.id, result.path, len(rows))
    sent, received = Counted.moved[result.id]
    wanted = {"status": result.status, "path": result.path.split("?")[0], "id_source": "x-request-id",
              "outcome": "completed", "net": {"received_bytes": sent, "sent_bytes": received}}
    got = {key: rows[0][key] for key in wanted}
    if got != wanted or rows[0]["attribution"]["confidence"] != "exact":
        return "%s: wanted %s\n  got %s" % (result.id, wanted, rows[0])
    return None


def schedstat(pid, tid):
    """(CPU, waited on run queues) of a thread, as the scheduler counts them; None when it has gone."""
    try:
        with open("/proc/%d/task/%d/schedstat" % (pid, tid), encoding="ascii") as text:
            return tuple(map(int, text.read().split()[:2]))
    except OSError:
        return None


class Rows(unittest.TestCase):
    """Real servers under load; the methods for each are made below."""

    def setUp(self):
        self.missed = edges_missed()

    def check_server(self, kind):
        """Every request has one right row, every thread the scheduler's figures, and the sum of CPU is the truth."""
        with fixtures.Server(kind) as server:
            results, rows, threads = self.serve(server, plan())
            server.stop()
            truth = server.truth()
        self.check_rows(results, rows)
        self.check_truth(kind, results, truth, rows, threads)

    def serve(self, server, requests):
        """Loads a server: (results, rows, number of threads that were compared)."""
        agent.poll_until(lambda: stays_idle(server), PATIENCE_S)
        results = run(server, requests)
        rows = rows_of(server, results)
        agent.poll_until(server.idle, PATIENCE_S)
        return results, rows, self.check_threads(server)

    @accuracy.twice
    def test_sendfile(self):
        """Answers that go by sendfile(), which has hooks of its own before 6.3."""
        self.check_moved(load.Request("GET", "/sendfile?n=200000", b""))

    @accuracy.twice
    def test_splice(self):
        """Bodies that are taken by splice(). Without fexit those from Unix sockets are guessed: tests/live/test_splice.py."""
        splice = feature("splice")
        self.assertEqual("on", splice["state"], splice["reason"])
        guessed = "fexit" not in splice["reason"]
        self.check_moved(load.Request("POST", "/splice", b"x" * 50000), ("movers",) if guessed else MOVERS)

    def check_moved(self, request, kinds=MOVERS):
        """A few of one request, whose bytes do not pass through user space, over TCP and a Unix socket."""
        for kind in kinds:
            with fixtures.Server(kind, preload=False) as server:
                results, rows, _ = self.serve(server, [request] * 12)
            self.check_rows(results, rows)

    def check_rows(self, results, rows):
        """One row per request, with what the client saw; parts of time sum to the whole in nearly all."""
        found = collections.defaultdict(list)
        for row in rows:
            found[row["id"]].append(row)
        wrong = [text for result in results if (text := wrong_with(result, found[result.id]))]
        # An edge that no program has seen confuses at worst a request and the next.
        self.assertLessEqual(len(wrong), 2 * (edges_missed() - self.missed), "\n".join(wrong))
        # A guest that is halted within a switch has a request's CPU on the wrong side of it: rare, but it happens.
        self.assertLessEqual(sum(row["cpu_ns"] == 0 for row in rows), 1, "rows without CPU")
        closing = [(compare.closing_error(row), 10 * compare.closing_bound(row["occupied_ns"] // 10)) for row in rows]
        accuracy.at_least(compare.share(closing, 0), CLOSING_SHARE, "time closes", "(error, bound): %s" % closing)

    def check_threads(self, server):
        """The live threads of an idle server against /proc/PID/task/TID/schedstat; returns how many."""
        report = METER.stats(scope="pid:%d" % server.pid, sections="threads", limit=0)
        compared = 0
        for thread in report["threads"]:
            figures = schedstat(thread["pid"], thread["tid"])
            if figures:
                compared += 1
                switches = thread["voluntary_switches"] + thread["involuntary_switches"]
                self.near(figures[0], thread["cpu_ns"], 0, "CPU", thread)
                overlap = OVERLAP_SHARE * figures[1] if thread["runqueue_ns"] < figures[1] else 0
                self.near(figures[1], thread["runqueue_ns"], switches * SWITCH + overlap, "run queue", thread)
        self.assertGreaterEqual(compared, 1)
        return compared

    def near(self, kernels, ours, more, what, thread):
        """Within 5 % and 20 ms (an idle server's timers may run between the two looks), and `more`."""
        accuracy.at_most(abs(ours - kernels), 0.05 * kernels + 20 * MS + more, "%s of thread %d: kernel %d, reqmeter %d, ns off" % (
            what, thread["tid"], kernels, ours))

    def check_truth(self, kind, results, truth, rows, threads):
        """The sum of the rows' CPU is what the threads' own clocks say, to 10 % and 1 ms a request.

        When the host halts the guest between an edge and the library's look at the clock, that is CPU of the row alone.
        """
        pairs, strangers = compare.join(results, truth, rows)
        numbers = compare.figures(pairs)
        both = [(pair.row["cpu_ns"], pair.truth["cpu_ns"]) for pair in pairs if pair.row]
        ours, theirs = (sum(side) for side in zip(*both))
        print("%s: %d rows, %.1f ms of CPU (threads' clocks %.1f), within the bound %.0f %%, closes %.0f %%; "
              "%d threads" % (kind, len(rows), ours / MS, theirs / MS, 100 * numbers["within"],
                              100 * numbers["closing"], threads), flush=True)
        self.assertLessEqual(len(strangers), edges_missed() - self.missed)
        self.assertEqual(len(results), len(truth))
        accuracy.at_most(abs(ours - theirs), 0.1 * theirs + len(rows) * MS, kind + ": sum of CPU, ns off", compare.worst(pairs))


def add_test(kind):
    """One test method for a server."""
    @accuracy.twice
    def test(self):
        self.check_server(kind)

    test.__doc__ = "rows and threads of " + kind
    setattr(Rows, "test_" + kind.replace("-", "_"), test)


for name in ("python-threading", "python-forking-http10", "gunicorn", "c-thread", "c-thread-close", "c-thread-v6",
             "c-thread-unix", "c-pool"):
    add_test(name)


class Kernel(unittest.TestCase):
    """The agent as the kernel and the administrator see it."""

    def test_verifier(self):
        """The kernel accepts every program that it has the hook for, not only those that the agent chooses here."""
        done = subprocess.run([VERIFY], capture_output=True, text=True, timeout=VERIFY_SECONDS, check=False)
        print("programs: " + done.stdout.splitlines()[-1])
        self.assertEqual(0, done.returncode, done.stdout)

    def test_check(self):
        """`reqmeter check` says that the agent can run, and of each feature whether it is on."""
        done = check("--json")
        answer = json.loads(done.stdout)
        self.assertEqual((0, True, None), (done.returncode, answer["can_run"], answer["reason"]))
        self.assertEqual(0, check().returncode)
        self.assertEqual("on", feature("requests")["state"])
        states = collections.defaultdict(list)
        for row in answer["features"]:
            states[row["state"]].append(row["name"])
        print("requests: %s" % feature("requests")["reason"])
        print("; ".join("%s: %s" % (state, " ".join(names)) for state, names in sorted(states.items())))
        self.assertNotIn("failed", states)

    @accuracy.twice
    def test_ledger(self):
        """A cgroup with a quota: what the kernel counts is requests, background and little else."""
        try:
            cgroup = cgroups.Cgroup("reqmeter-kernels-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(cgroup.remove)
        limit(cgroup)
        with fixtures.Server("python-forking-http10", prefix=cgroup.prefix, preload=False) as server:
            rows = rows_of(server, run(server, plan()))
        entry = agent.poll_until(lambda: settled(cgroup), PATIENCE_S, 0.3)
        self.assertTrue(entry, "the report's cgroup does not reach the kernel's figure")
        self.check_entry(entry, cgroup)
        if "v2" in cgroup.dirs and feature("throttled")["state"] == "on":
            throttled = sum(row["throttled_ns"] for row in rows)
            print("throttled: %.1f ms in requests" % (throttled / MS))
            self.assertGreater(throttled, 0)

    def check_entry(self, entry, cgroup):
        """The ledger closes; limits are the kernel's."""
        cpu = entry["ledger"]["cpu"]
        print("ledger: %.1f ms (kernel %.1f), requests %.1f, background %.1f, residual %+.2f; throttled %.1f" % tuple(
            x / MS for x in (cpu["cgroup_ns"], cgroup.usage_ns(), cpu["requests_ns"], cpu["background_ns"],
                             cpu["residual_ns"], entry["cpu"]["throttled_ns"])))
        self.assertEqual(cpu["cgroup_ns"], cpu["requests_ns"] + cpu["background_ns"] + cpu["residual_ns"])
        self.assertGreater(cpu["requests_ns"], 100 * MS, "12 requests burnt 3 or 20 ms each")
        accuracy.at_most(abs(cpu["residual_ns"]), 0.02 * cpu["cgroup_ns"] + 50 * MS, "residual, ns")
        if "v2" in cgroup.dirs:
            self.check_limits(entry, cgroup)

    def check_limits(self, entry, cgroup):
        """What limit() set, and what the kernel says of the throttling that it led to."""
        def same():
            stat, now = numbers(os.path.join(cgroup.dirs["v2"], "cpu.stat")), settled(cgroup)
            return now and stat["nr_throttled"] > 0 and (
                (1000 * stat["throttled_usec"], stat["nr_throttled"]) ==
                (now["cpu"]["throttled_ns"], now["cpu"]["throttled_periods"]))

        self.assertEqual((50 * MS, 100 * MS), (entry["cpu"]["quota_ns"], entry["cpu"]["period_ns"]))
        self.assertTrue(agent.poll_until(same, PATIENCE_S, 0.3), "throttling of %s" % entry["cpu"])
        if feature("cgroup-memory")["state"] == "on":
            self.assertEqual(512 << 20, entry["memory"]["limit_bytes"])

    def test_nothing_is_left(self):
        """After SIGTERM the kernel holds no program, map or link that it did not hold before."""
        before = bpf_objects()
        meter = agent.Agent()
        held = bpf_objects() - before
        self.assertLessEqual({"prog", "map", "link"}, {kind for kind, _ in held})
        self.assertEqual(0, meter.stop(60))
        # The kernel frees them after RCU grace periods.
        self.assertTrue(agent.poll_until(lambda: not held & bpf_objects(), PATIENCE_S, 0.3), held & bpf_objects())

    def test_nothing_was_lost(self):
        """Nothing of all this was too much. Runs after the rows, by its class."""
        losses = {name: count for name, count in agent_section()["losses"].items() if count}
        print("losses: %s; programs missed: %s" % (losses or "none", misses() or "none"))
        losses.pop("torn", None)  # a thread that switched three times while it was read: slowness, not loss
        if kernel() >= PREEMPTIBLE:
            losses.pop("programs_missed", None)
        # Before 6.2 a thread that is switched out while it looks at a task's storage hides that of others on its CPU.
        if preempts() and kernel() < (6, 2):
            accuracy.at_most(losses.pop("switches_missed", 0), SWITCHES_HIDDEN, "switches missed")
        self.assertEqual({}, losses)


class Refused(unittest.TestCase):
    """A kernel whose tracing programs have no task storage gets one clear line."""

    def test_check(self):
        """`reqmeter check` says what is missing."""
        done = check()
        print(done.stdout.splitlines()[-1])
        self.assertEqual((1, ""), (done.returncode, done.stderr))
        self.assertRegex(done.stdout.splitlines()[-1], r"cannot run here: kernel 5\.\d+\S* .*needs 5\.15 or later")

    def test_agent(self):
        """The agent says it in one line on stderr and ends with 1."""
        done = subprocess.run([agent.PROGRAM, "agent", "--listen", "127.0.0.1:%d" % agent.free_port()],
                              capture_output=True, text=True, timeout=120, check=False)
        print(done.stderr.strip())
        self.assertEqual((1, "", 1), (done.returncode, done.stdout, len(done.stderr.splitlines())))
        self.assertRegex(done.stderr, r"^reqmeter: .*kernel 5\.\d+\S* .*needs 5\.15 or later\n$")


def limit(cgroup):
    """Half a CPU and 512 MiB, where the cgroup is v2: both controllers must be there then."""
    if "v2" in cgroup.dirs:
        for name, value in (("cpu.max", "50000 100000"), ("memory.max", str(512 << 20))):
            with open(os.path.join(cgroup.dirs["v2"], name), "w", encoding="ascii") as file:
                file.write(value)


def numbers(path):
    """A file of lines "name number" as a dict."""
    with open(path, encoding="ascii") as lines:
        return {name: int(number) for name, number in map(str.split, lines)}


def settled(cgroup):
    """The report's entry of an idle cgroup once it has what the kernel counts to 0.5 %, else None."""
    entries = METER.stats(scope="cgroup:" + cgroup.path, limit=0)["cgroups"]
    usage = cgroup.usage_ns()
    for entry in entries:
        if cgroup.owns(entry) and abs(entry["ledger"]["cpu"]["cgroup_ns"] - usage) <= 0.005 * usage:
            return entry
    return None


def setUpModule():
    """One agent for all, where the kernel can have one."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    build.part("threads")
    if kernel() >= OLDEST:
        METER = agent.Agent(prefix=PREFIX)


def tearDownModule():
    """Ends the agent."""
    if METER:
        METER.stop(60)


def load_tests(loader, _standard, _pattern):
    """Only what concerns the running kernel, the rows first."""
    cases = (Rows, Kernel) if kernel() >= OLDEST else (Refused,)
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases)
