# SPDX-License-Identifier: MIT
"""Joins what clients saw, what the truth library measured and what the agent says; all times are nanoseconds."""
import collections

import accuracy

US = 1000
SHARE = 0.99  # of rows must be right
LATE_SHARE = 0.1  # of rows may be right only because the truth was looked at late; with more, it would allow too much
PARTS = ("cpu_ns", "stolen_ns", "runqueue_ns", "throttled_ns", "blocked_ns", "unattended_ns")

# One request in one process: `truth` is a line of the truth library, `row` a ROW of the report or None, `result` what
# the client saw, `twins` the number of rows with the same (pid, id), `late_ns` see lateness().
Pair = collections.namedtuple("Pair", "result truth row twins late_ns")


def cpu_bound(cpu_ns):
    """How far two CPU figures of one request may lie apart."""
    return max(0.02 * cpu_ns, 300 * US)


def closing_bound(occupied_ns):
    """How far the parts of a request's time may be from its whole."""
    return max(0.01 * occupied_ns, 50 * US)


def cpu_allowed(pair):
    """How far a row may be from its truth: what lies between the two's looks at the clock may be CPU time."""
    return cpu_bound(pair.truth["cpu_ns"]) + pair.late_ns


def lateness(pairs):
    """For each pair the ns by which the truth looked at a thread's clock after the row began, and before it ended.

    The library's look is a system call that takes the run queue's lock. A machine whose host is away for milliseconds
    may lose them between the edge and the look, and the kernel books some of them as the thread's. Half of all looks are
    taken for undisturbed: what counts is how much later one is than these. 0 without a row.
    """
    def later(looks):
        usual = median([look for look in looks if look is not None])
        return [0 if look is None else max(0, look - usual) for look in looks]

    begins = later([pair.row and pair.truth["start_read_ns"] - pair.row["start_unix_ns"] for pair in pairs])
    ends = later([pair.row and pair.row["start_unix_ns"] + pair.row["occupied_ns"] - pair.truth["end_mono_ns"]
                  for pair in pairs])
    return [begin + end for begin, end in zip(begins, ends)]


def cpu_error(pair):
    """row − truth; 0 inside the span in which the true end lies when the server blocked unseen (truth.h)."""
    low, high = pair.truth["cpu_low_ns"], pair.truth["cpu_ns"]
    cpu = pair.row["cpu_ns"]
    return cpu - high if cpu > high else min(0, cpu - low)


def closing_error(row):
    """Sum of the parts − occupied_ns. A null part counts as 0 (throttled_ns is inside runqueue_ns then)."""
    return sum(row[part] or 0 for part in PARTS) - row["occupied_ns"]


def join(results, truth, rows):
    """(pairs, strangers): one Pair per truth line of these results, and the rows that no truth line explains.

    results: load.Result; truth: lines of the library; rows: ROWs. Lines and rows of other ids are ignored.
    """
    ids = {result.id: result for result in results}
    found = collections.defaultdict(list)
    for row in rows:
        if row["id"] in ids:
            found[row["pid"], row["id"]].append(row)
    pairs = []
    for line in truth:
        if line["id"] in ids:
            same = found.pop((line["pid"], line["id"]), [])
            pairs.append(Pair(ids[line["id"]], line, same[0] if same else None, len(same), 0))
    pairs = [pair._replace(late_ns=late) for pair, late in zip(pairs, lateness(pairs))]
    return pairs, [row for same in found.values() for row in same]


def share(values, limit):
    """The part of pairs (error, bound) that are within their bound; limit is what to say for none."""
    return sum(abs(error) <= bound for error, bound in values) / len(values) if values else limit


def median(values):
    """The upper median, None for none."""
    return sorted(values)[len(values) // 2] if values else None


def below_handler(pairs):
    """Pairs whose row is below the handler's own CPU figure by more than the bound."""
    return [pair for pair in pairs if pair.result.handler_cpu_ns is not None and
            pair.row["cpu_ns"] < pair.result.handler_cpu_ns - cpu_bound(pair.result.handler_cpu_ns)]


def figures(pairs):
    """Shares and errors of all pairs that have a row, as a dict; times in microseconds."""
    pairs = [pair for pair in pairs if pair.row]
    cpu = [(cpu_error(pair), cpu_allowed(pair)) for pair in pairs]
    closing = [(closing_error(pair.row), closing_bound(pair.row["occupied_ns"])) for pair in pairs]
    occupied = [pair.row["occupied_ns"] - pair.truth["occupied_ns"] for pair in pairs]
    return {
        "n": len(pairs),
        "late": sum(cpu_bound(pair.truth["cpu_ns"]) < abs(error) <= allowed
                    for pair, (error, allowed) in zip(pairs, cpu)),
        "within": share(cpu, 0.0),
        "median_us": (median([error for error, _ in cpu]) or 0) / US,
        "worst_us": max((error for error, _ in cpu), key=abs, default=0) / US,
        "closing": share(closing, 0.0),
        "closing_worst_us": max((error for error, _ in closing), key=abs, default=0) / US,
        "occupied_median_us": (median(occupied) or 0) / US,
        "occupied_worst_us": max(occupied, key=abs, default=0) / US,
    }


def summary(name, clients, numbers):
    """One line for people."""
    return ("%-32s %2d clients %4d rows, %d by a late look  cpu within %6.2f %%  median %+7.1f us  worst %+9.1f us  "
            "closes %6.2f %% (worst %+8.1f us)  occupied median %+7.1f us  worst %+9.1f us" % (
                name, clients, numbers["n"], numbers["late"], 100 * numbers["within"], numbers["median_us"],
                numbers["worst_us"],
                100 * numbers["closing"], numbers["closing_worst_us"], numbers["occupied_median_us"],
                numbers["occupied_worst_us"]))


def judge(name, numbers, pairs):
    """The bounds of a load's accuracy, for tests with @accuracy.twice. numbers: figures(pairs)."""
    details = worst(pairs)
    accuracy.at_most(numbers["late"] / max(1, numbers["n"]), LATE_SHARE, name + ": right by a late look only", details)
    accuracy.at_least(numbers["within"], SHARE, name + ": CPU within its bound of the truth", details)
    accuracy.at_least(numbers["closing"], SHARE, name + ": time closes", details)


def describe(pair):
    """One pair that is wrong, for a failure message; times in microseconds."""
    row, truth = pair.row, pair.truth
    parts = " ".join("%s=%s" % (part[:-3], None if row[part] is None else row[part] // US) for part in PARTS)
    return ("%s pid %d %s (end by %s): cpu %d us, truth %d..%d us (%d at the last send), handler %s us; "
            "occupied %d us, truth %d us, looked at %d us late; %s" % (
                truth["id"], truth["pid"], truth["path"], truth["end"], row["cpu_ns"] // US,
                truth["cpu_low_ns"] // US, truth["cpu_ns"] // US, truth["cpu_sent_ns"] // US,
                (pair.result.handler_cpu_ns or 0) // US, row["occupied_ns"] // US, truth["occupied_ns"] // US,
                pair.late_ns // US, parts))


def worst(pairs, n=5):
    """The n pairs farthest outside their bounds, described."""
    def excess(pair):
        cpu = abs(cpu_error(pair)) / cpu_allowed(pair)
        return max(cpu, abs(closing_error(pair.row)) / closing_bound(pair.row["occupied_ns"]))

    ordered = sorted((pair for pair in pairs if pair.row), key=excess, reverse=True)
    return "\n".join("  " + describe(pair) for pair in ordered[:n])
