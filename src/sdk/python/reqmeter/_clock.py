# SPDX-License-Identifier: MIT
"""Times of requests as this process measured them itself, for each client since its own last read."""
import collections
import os
import threading

CLIENTS_MAX = 256  # contract; beyond, the one that read longest ago is forgotten


class Times:
    """Number, sum, least and greatest of durations in seconds."""

    __slots__ = ("count", "total", "min", "max")

    def __init__(self):
        self.count, self.total, self.min, self.max = 0, 0.0, None, None

    def add(self, seconds):
        """One more."""
        if not self.count:
            self.min = self.max = seconds
        elif seconds < self.min:
            self.min = seconds
        elif seconds > self.max:
            self.max = seconds
        self.count += 1
        self.total += seconds

    def merge(self, other):
        """All of another's."""
        if other.count:
            self.count += other.count
            self.total += other.total
            self.min = other.min if self.min is None else min(self.min, other.min)
            self.max = other.max if self.max is None else max(self.max, other.max)

    def as_dict(self):
        """As time_info has it: four nulls and a count of 0 when there were none."""
        none = not self.count
        return {"min": self.min, "max": self.max, "avg": None if none else self.total / self.count,
                "total": None if none else self.total, "count": self.count}


class _Interval:
    """What ended between one client's read and the next read of any client."""

    __slots__ = ("all", "predictions")

    def __init__(self):
        self.all, self.predictions = Times(), Times()

    def merge(self, other):
        self.all.merge(other.all)
        self.predictions.merge(other.predictions)


def is_prediction(path):
    """Whether DRUM would count a request of that path as a prediction: by how it ends, slashes and a prefix allowed."""
    before, _, last = path.rstrip("/").rpartition("/")
    return last in _PREDICTION_ROUTES or (last == "completions" and before.rstrip("/").rpartition("/")[2] == "chat")


_PREDICTION_ROUTES = frozenset(("predict", "predictions", "predictUnstructured", "predictionsUnstructured",
                                "transform", "invocations", "models"))


class RequestClock:
    """Durations of the requests that ended in this process. Any thread; an end costs the same whatever the clients.

    The clients stand in the order of their last reads, and each holds only what came between its read and the next
    one's; a read puts the parts together. What came since the newest read stands apart, so that an end is one sum.
    """

    def __init__(self):
        self.in_use = False  # whether anybody measures here
        self._forget()

    def _forget(self):
        self._lock = threading.Lock()
        self._newest = _Interval()  # since the last read
        self._ever = _Interval()  # until then
        self._clients = collections.OrderedDict()

    def ended(self, path, seconds):
        """A request has ended (its response began)."""
        prediction = is_prediction(path)
        with self._lock:
            self._newest.all.add(seconds)
            if prediction:
                self._newest.predictions.add(seconds)

    def _settle(self):
        """What came since the last read is now part of all, and of what the client that read last has not seen."""
        self._ever.merge(self._newest)
        if self._clients:
            next(reversed(self._clients.values())).merge(self._newest)
        self._newest = _Interval()

    def since_last_read(self, client):
        """time_info for a client, which is moved on; a first read counts from the beginning."""
        with self._lock:
            self._settle()
            seen = self._since(client)
            self._move_on(client)
            # With the lock held: what was ever seen is not a copy.
            return {"run_predictor_total": seen.predictions.as_dict(), "all_requests": seen.all.as_dict()}

    def move_on(self, client):
        """The client has learned from elsewhere what ended until now."""
        with self._lock:
            self._settle()
            self._move_on(client)

    def _since(self, client):
        if client not in self._clients:
            return self._ever
        seen, reached = _Interval(), False
        for name, interval in self._clients.items():
            reached = reached or name == client
            if reached:
                seen.merge(interval)
        return seen

    def _move_on(self, client):
        if client in self._clients:
            self._remove(client)
        elif len(self._clients) >= CLIENTS_MAX:
            self._remove(next(iter(self._clients)))
        self._clients[client] = _Interval()

    def _remove(self, client):
        """Passes what a client held on to the client that read before it; before the first client no one needs it."""
        before = None
        for name in self._clients:
            if name == client:
                break
            before = name
        interval = self._clients.pop(client)
        if before is not None:
            self._clients[before].merge(interval)


clock = RequestClock()
# What the parent served is not this worker's, and another thread may have held the lock at that instant.
os.register_at_fork(after_in_child=clock._forget)  # pylint: disable=protected-access
