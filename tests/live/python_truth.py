# SPDX-License-Identifier: MIT
"""Rows of requests on one event loop against what servers/python_clocks.py read around them, and the contract's bounds.

What the hypervisor takes inside of a slice is too much in the request that it happened to, which the program saw, and
missing in that slice's last, whose row has it as stolen_ns. So much each of the two may be off; it is printed.
Between the two sides of an edge lies the cost of the reads themselves: some 2 % of steps of 0.2 ms, in which an error
could hide. Longer steps leave it no room: there an edge that is missed costs ten times as much.
"""
import accuracy

# Contract: CPU for the wrong request, and for none; a row; how many rows have to be right.
SHARE = 0.005
ROW_PART, ROW_NS, WITHIN = 0.02, 200000, 0.99


class Outcome:
    """Rows against the truth; ns. over, under: by request, beyond what was measured outside of the edges, and inside.

    moved: what rows have that others lack, if the edges lie at the same part of the way from inside to outside for all.
    """

    def __init__(self, told, rows):
        self.least, self.most, self.rows = told["least"], told["most"], rows
        seen = {name: told["stolen"].get(name, 0) for name in rows}
        cpu = {name: row["cpu_ns"] for name, row in rows.items()}
        self.stolen_ns = max(sum(seen.values()), sum(row["stolen_ns"] for row in rows.values()))
        self.total, self.sum_least, self.sum_most = (sum(one.values()) for one in (cpu, self.least, self.most))
        self.over = {name: max(0, cpu[name] - self.most[name] - seen[name]) for name in cpu}
        self.under = {name: max(0, self.least[name] - cpu[name] - rows[name]["stolen_ns"]) for name in cpu}
        part = (self.total - self.sum_least) / (self.sum_most - self.sum_least)
        self.moved = sum(abs(cpu[name] - self.least[name] - part * (self.most[name] - self.least[name])) for name in cpu) / 2

    def beyond(self):
        """Rows that are wrong by more than a row may be."""
        return [name for name in self.rows
                if self.over[name] + self.under[name] > max(ROW_PART * self.most[name], ROW_NS)]

    def __str__(self):
        shares = (sum(self.over.values()), sum(self.under.values()), self.moved, self.stolen_ns,
                  self.total - self.sum_least, self.sum_most - self.sum_least)
        return ("%.0f ms; to the wrong request %.3f %%, to none %.3f %%, moved %.3f %%, stolen %.3f %%; rows %+.2f %% of the "
                "reads inside the edges, those outside %+.2f %%; %d of %d rows beyond max(2 %%, 200 us), worst %+.0f and "
                "%+.0f us" % (self.sum_least / 1e6, *(100 * part / self.sum_least for part in shares), len(self.beyond()),
                              len(self.rows), max(self.over.values()) / 1e3, -max(self.under.values()) / 1e3))

    def check(self, name):
        """The contract's bounds, as figures of accuracy."""
        allowed_ns = SHARE * self.sum_least
        accuracy.at_most(sum(self.over.values()), allowed_ns, name + "ns to the wrong request")
        accuracy.at_most(sum(self.under.values()), allowed_ns, name + "ns to none")
        accuracy.at_most(self.moved, allowed_ns + self.stolen_ns, name + "ns from one to the other")
        accuracy.at_least(self.total, self.sum_least * (1 - SHARE), name + "ns in all rows")
        accuracy.at_most(self.total, self.sum_most * (1 + SHARE), name + "ns in all rows")
        accuracy.at_most(len(self.beyond()), (1 - WITHIN) * len(self.rows), name + "rows beyond their bound")
