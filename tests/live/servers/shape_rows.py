# SPDX-License-Identifier: MIT
"""What rows should be, and how those that the agent made differ."""
import agent

FIELDS = ("method", "path", "status", "outcome", "received", "sent", "confidence")


def field(row, name):
    """A row's value by the short names of Want."""
    if name in ("received", "sent"):
        return row["net"][name + "_bytes"]
    return row["attribution"]["confidence"] if name == "confidence" else row[name]


class Want:
    """The one row that a request must have. A field that is None is not compared; NULL must be null."""

    NULL = object()

    def __init__(self, id, method="GET", path="/", status=200, outcome="completed", received=None, sent=None,
                 confidence="exact", span=None):
        self.id, self.span = id, span
        self.fields = dict(zip(FIELDS, (method, path, status, outcome, received, sent, confidence)))

    def differences(self, row):
        """Words for each field that is not as wanted."""
        found = []
        for name, want in self.fields.items():
            got = field(row, name)
            if want is not None and got != (None if want is Want.NULL else want):
                found.append("%s %r, not %r" % (name, got, None if want is Want.NULL else want))
        return found + self.time_differences(row)

    def time_differences(self, row):
        """The times that cannot be; 1 us is left for rounding of clocks."""
        duration, occupied = row["duration_ns"], row["occupied_ns"]
        found = []
        if duration > occupied:
            found.append("duration %d beyond occupied %d" % (duration, occupied))
        if self.span and not self.span[0] - 1000 <= duration <= self.span[1] + 1000:
            found.append("duration %d outside %d..%d" % (duration, *self.span))
        return found


class Rows:
    """The rows of some processes, as they come; each is handed out once."""

    def __init__(self, meter, *pids):
        self.meter, self.pids, self.seen = meter, set(pids), set()

    def new(self):
        """(ended, active) rows that have not been handed out."""
        requests = self.meter.stats(limit=100000, sections="requests")["requests"]
        return tuple([row for row in requests[name] if row["pid"] in self.pids and row["handle"] not in self.seen]
                     for name in ("recent", "active"))

    def take(self, n, seconds=5):
        """Waits for n ended rows; (ended, active) then or when time is up, and those that ended are handed out."""
        def look():
            found[:] = self.new()
            return len(found[0]) >= n

        found = [[], []]
        agent.poll_until(look, seconds, 0.03)
        self.seen |= {row["handle"] for row in found[0]}
        return found

    def mismatches(self, wants, seconds=5):
        """Waits for the rows of these requests; lines on what is missing, double, strange or different."""
        ended, active = self.take(len(wants), seconds)
        by_id, lines = {}, []
        for row in ended:
            by_id.setdefault(row["id"], []).append(row)
        for want in wants:
            rows = by_id.pop(want.id, [])
            if len(rows) != 1:
                state = " (active)" if want.id in {row["id"] for row in active} else ""
                lines.append("%s: %d rows%s" % (want.id, len(rows), state))
            lines += ["%s: %s" % (want.id, words) for row in rows for words in want.differences(row)]
        strangers = [row for rows in by_id.values() for row in rows]
        lines += ["stranger: %.40s %s %.40s" % (row["id"], row["method"], row["path"]) for row in strangers]
        return lines[:12] + (["… %d more" % (len(lines) - 12)] if len(lines) > 12 else [])
