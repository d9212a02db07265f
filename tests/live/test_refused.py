# SPDX-License-Identifier: MIT
"""A kernel that refuses BPF programs, each in turn, at load and at attach: the agent starts all the same, the right
feature says which program and why, and everything else is as it was. Only the essential programs end it, in one line.
"""
import collections
import concurrent.futures
import glob
import os
import re
import subprocess
import unittest

import agent
import build
import fixtures
import load
import test_sdk_rows

ESSENTIAL = ["on_switch", "on_newtask", "on_exit", "find_tasks", "snapshot"]
OF_REQUESTS = {"resets", "splice", "socket-ends", "queue", "io_uring", "handoff", "second-programs"}

# feature: which says so; state: with the program refused on this kernel; also: features that may change with it; options:
# without which the agent would not load it.
Cost = collections.namedtuple("Cost", "feature state also options", defaults=("failed", set(), ()))
COSTS = {
    "on_socket_state": Cost("requests", "failed", OF_REQUESTS),
    "on_receive": Cost("requests", "on", OF_REQUESTS),
    "on_send": Cost("requests", "on", OF_REQUESTS),
    "on_call": Cost("requests", "failed", OF_REQUESTS),
    "forget_unix": Cost("requests", "on"),
    "on_exec": Cost("sdk"),
    "on_rename": Cost("sdk"),
    "on_cgroup_attach": Cost("scope-follows", options=("--scope", "cgroup:/")),
    "on_tcp_destroyed": Cost("resets"),
    "on_data_ready": Cost("queue"),
    "on_waking": Cost("handoff", options=("--infer-handoff",)),
    "find_unix": Cost("socket-ends"),
    "find_open_unix": Cost("socket-ends", "on"),
    "on_unix_release": Cost("socket-ends", "on"),
    "on_tcp_taken": Cost("splice"),
    "on_tcp_splice_read": Cost("splice", "on"),
    "on_unix_splice_read": Cost("splice", "on"),
    **dict.fromkeys(("on_socket_state_second", "on_newtask_second", "on_exit_second", "on_receive_second",
                     "on_send_second"), Cost("second-programs")),
    **dict.fromkeys(("on_rss_stat", "on_rss_stat_counted", "on_exit_mmap", "on_memory_attach", "on_memory_newtask",
                     "on_memory_exec", "find_spaces"), Cost("memory")),
    **dict.fromkeys(("on_map_begin", "on_map_end"), Cost("memory-mapped")),
    "on_page_cache": Cost("memory-page-cache"),
    **dict.fromkeys(("on_tlb_flush", "on_page_fault_kernel"), Cost("memory-cow")),
    **dict.fromkeys(("on_reclaim_begin", "on_reclaim_end", "on_cgroup_reclaim_begin", "on_cgroup_reclaim_end"),
                    Cost("memory-reclaim")),
    **dict.fromkeys(("on_inet_recvmsg", "on_inet6_recvmsg", "on_unix_recvmsg", "on_inet_sendmsg", "on_inet6_sendmsg",
                     "on_unix_sendmsg", "on_inet_sendpage", "on_unix_sendpage"), Cost("requests", "on", OF_REQUESTS)),
}
# What a row says of memory where its feature is on, and null where it is not.
MEMORY_FIELDS = {"memory": "growth_bytes", "memory-mapped": "mapped_bytes", "memory-page-cache": "page_cache_bytes",
                 "memory-cow": "cow_bytes", "memory-reclaim": "reclaim_ns"}
ANSWERS = {"": ("load", 1, "Operation not permitted"), "/attach": ("attach", 22, "Invalid argument")}
REQUESTS, SDK_REQUESTS = 6, 5
AT_ONCE = 2  # agents: the machine's CPUs

SERVERS = {}
Seen = collections.namedtuple("Seen", "features programs rows sdk_rows ids")


def programs_of_source():
    """Names of all BPF programs, from their sources."""
    text = "".join(open(path, encoding="ascii").read() for path in glob.glob(os.path.join(build.ROOT, "bpf", "*.bpf.c")))
    return re.findall(r'^SEC\("[^"]*/[^"]*"\)\nint (?:BPF_PROG\()?(\w+)', text, re.M)


def ask(endpoint, prefix):
    """A few requests, one connection each; their ids."""
    results = [load.get(endpoint, "/burn?us=2000", "%s-%d" % (prefix, i)) for i in range(REQUESTS)]
    assert all(result.status == 200 for result in results), results
    return [result.id for result in results]


def look(entry, options=()):
    """What an agent says under which these programs are refused."""
    with agent.Agent(*options, prefix=agent.refusing(*entry)) as meter, test_sdk_rows.Server() as sdk:
        features = {row["name"]: row for row in meter.stats(sections="agent")["agent"]["features"]}
        ids = ask(SERVERS["tcp"].endpoint, load.unique_prefix()) + ask(SERVERS["unix"].endpoint, load.unique_prefix())
        sdk.ask("plain", SDK_REQUESTS)
        sees, is_told = features["requests"]["state"] == "on", features["sdk"]["state"] == "on"

        mine, told = [], []

        def rows():
            found = meter.rows()
            mine[:] = [row for row in found if row["id"] in ids]
            told[:] = [row for row in found if row["pid"] == sdk.process.pid]
            return len(mine) == (len(ids) if sees else 0) and len(told) == (SDK_REQUESTS if sees or is_told else 0)

        agent.poll_until(rows, 15, 0.3)
        programs = {row["name"] for row in meter.stats(sections="agent")["agent"]["programs"]}
        return Seen(features, programs, mine, told, ids)


def end(entry):
    """(exit code, stdout, stderr) of an agent that is not to start."""
    command = [*agent.refusing(*entry), agent.PROGRAM, "agent", "--listen", "127.0.0.1:%d" % agent.free_port()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def setUpModule():
    """The servers that all agents look at."""
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    SERVERS.update(tcp=fixtures.Server("c-thread-close", preload=False), unix=fixtures.Server("c-thread-unix", preload=False))


def tearDownModule():
    """Ends them."""
    for server in SERVERS.values():
        server.__exit__()


class Refused(unittest.TestCase):
    """Each program in turn. All agents are run first, a few at a time; each test looks at what its own said."""

    @classmethod
    def setUpClass(cls):
        plain = {options: look((), options) for options in {cost.options for cost in COSTS.values()}}
        cls.plain, loaded = plain, {options: seen.programs for options, seen in plain.items()}
        cls.here = [name for name, cost in COSTS.items() if name in loaded[cost.options]]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            cls.seen = {(name, when): pool.submit(look, ["%s%s:%d" % (name, when, answer[1])], COSTS[name].options)
                        for name in cls.here for when, answer in ANSWERS.items()}
            cls.ended = {(name, when): pool.submit(end, [name + when]) for name in ESSENTIAL for when in ANSWERS}

    def test_every_program_has_its_place(self):
        """No program of the sources is missing in the lists above, and none is there that does not exist."""
        self.assertEqual(sorted(programs_of_source()), sorted(ESSENTIAL + list(COSTS)))

    def test_essential(self):
        """Without one of these nothing can be measured: one line that names program and answer."""
        for (name, when), future in self.ended.items():
            with self.subTest(program=name, when=when):
                code, out, err = future.result()
                self.assertEqual((1, "", 1), (code, out, len(err.splitlines())), err)
                self.assertIn("the kernel refuses %s: Operation not permitted (at %s)" % (name, ANSWERS[when][0]), err)

    def test_each_costs_its_feature(self):
        """The feature says which program was refused and what the kernel answered; no other says anything new."""
        for (name, when), future in self.seen.items():
            cost, (moment, _, answer) = COSTS[name], ANSWERS[when]
            with self.subTest(program=name, when=when):
                seen, plain = future.result().features, self.plain[cost.options].features
                self.assertEqual(cost.state, seen[cost.feature]["state"], seen[cost.feature])
                self.assertIn("the kernel refuses %s: %s (at %s)" % (name, answer, moment), seen[cost.feature]["reason"])
                changed = {feature for feature in plain if seen.get(feature) != plain[feature]}
                self.assertLessEqual(changed, {cost.feature} | cost.also)
                self.assertEqual(set(plain), set(seen))

    def test_the_rest_goes_on(self):
        """Rows are there and exact where requests are seen, on TCP and Unix sockets; none where they are not."""
        for (name, when), future in self.seen.items():
            with self.subTest(program=name, when=when):
                self.check_rows(future.result())

    def check_rows(self, seen):
        """One right row a request; what a feature that is not on would measure is null."""
        sees, is_told = (seen.features[name]["state"] == "on" for name in ("requests", "sdk"))
        self.assertEqual(sorted(seen.ids) if sees else [], sorted(row["id"] for row in seen.rows))
        for row in seen.rows:
            self.assertEqual((200, "/burn", "completed", "exact"),
                             (row["status"], row["path"], row["outcome"], row["attribution"]["confidence"]))
            self.assertGreaterEqual(row["cpu_ns"] + row["stolen_ns"], 0.9 * 2000000)
            for feature, field in MEMORY_FIELDS.items():
                known = seen.features[feature]["state"] == "on"
                self.assertEqual(known, row["memory"][field] is not None, (feature, row["memory"]))
        self.assertEqual(SDK_REQUESTS if sees or is_told else 0, len(seen.sdk_rows))
        self.assertLessEqual({row["attribution"]["source"] for row in seen.sdk_rows}, {"sdk" if is_told else "socket"})

    def test_those_not_loaded_here(self):
        """To refuse what this kernel has not got, or what a better way makes needless, changes nothing."""
        absent = [name for name in COSTS if name not in self.here]
        seen = look(absent + [name + "/attach" for name in absent])
        self.assertEqual(self.plain[()].features, seen.features)
        self.check_rows(seen)

    def test_everything_optional(self):
        """With every optional program refused threads and ledgers are left, and each feature says why."""
        seen = look(list(COSTS))
        self.assertEqual([], seen.rows + seen.sdk_rows)
        for name in self.here:
            if not COSTS[name].options:
                self.assertNotEqual("on", seen.features[COSTS[name].feature]["state"], name)
        self.assertEqual("on", seen.features["threads"]["state"])
        self.assertEqual(set(ESSENTIAL), seen.programs)


if __name__ == "__main__":
    unittest.main()
