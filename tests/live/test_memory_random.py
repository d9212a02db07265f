# SPDX-License-Identifier: MIT
"""Memory of requests that take and give back at random, against walks of the server's own page tables.

What a test thinks of is what its author thought of; this one does not think. The seed is printed.
"""
import http.client
import json
import os
import random
import subprocess
import sys
import unittest

import agent
import memory_server
from memory_server import KIB

REQUESTS, SERVERS = 300, 3
FILE_MIB = 4  # FILE_PAGES of servers/memory_random.py
# What the handler touches by itself between the kernel's edges and its own looks: not the 31 pages of a sum's part.
NEAR = 96 * KIB
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "servers", "memory_random.py")


class Random(memory_server.MemoryTest):
    """Rows against the handlers' own looks."""

    def ask(self, port, name):
        """What the handler says."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/random", headers={"X-Request-ID": name})
        growth = json.loads(connection.getresponse().read())
        connection.close()
        return growth

    def rows(self, names):
        """{id: row} of all."""
        def look():
            found = {row["id"]: row for row in self.meter.rows()}
            return found if names <= found.keys() else None

        found = agent.poll_until(look, 20, 0.1)
        self.assertTrue(found, "not all requests have rows")
        return found

    def check_server(self, seed):
        """One server's requests."""
        with memory_server.file_of(FILE_MIB) as file, subprocess.Popen(
                [sys.executable, PROGRAM, str(seed), file.name], stdout=subprocess.PIPE, text=True) as server:
            try:
                port = int(server.stdout.readline())
                names = ["random-%d-%d" % (seed, i) for i in range(REQUESTS)]
                self.ask(port, "first-%d" % seed)  # in which the interpreter itself grows
                truth = {name: self.ask(port, name) for name in names}
                rows = self.rows(set(names))
            finally:
                server.kill()
        errors = {name: rows[name]["memory"]["growth_bytes"] - growth for name, growth in truth.items()}
        print("seed %d: %d requests, %.1f MiB taken; furthest %d bytes, in sum %d" % (
            seed, len(truth), sum(max(0, growth) for growth in truth.values()) / memory_server.MIB,
            max(errors.values(), key=abs), sum(errors.values())), flush=True)
        for name in names:
            self.check_sums(rows[name]["memory"])
        self.assertEqual([], [(name, error, truth[name]) for name, error in errors.items() if abs(error) > NEAR][:5])

    def test_random(self):
        """Every row is what its handler took and did not give back."""
        for _ in range(SERVERS):
            seed = random.randrange(1 << 31)
            with self.subTest(seed=seed):
                self.check_server(seed)


if __name__ == "__main__":
    unittest.main()
