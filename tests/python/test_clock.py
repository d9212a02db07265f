# SPDX-License-Identifier: MIT
"""A worker's own clock: what each client sees since its own last read."""
import random
import threading
import unittest

from reqmeter import _clock


def totals(section, part="all_requests"):
    """(count, total) of a part."""
    return section[part]["count"], section[part]["total"]


class ClockTest(unittest.TestCase):
    """RequestClock against lists that keep everything."""

    def test_routes(self):
        for path in ("/predict", "/predict/", "//predictions//", "/a/b/predictUnstructured", "/predictionsUnstructured",
                     "/transform/", "/invocations", "/v1/chat/completions", "/chat/completions/", "/v1/models"):
            self.assertTrue(_clock.is_prediction(path), path)
        for path in ("", "/", "/Predict", "/predict/1", "/completions", "/a/completions", "/predictor", "/stats/"):
            self.assertFalse(_clock.is_prediction(path), path)

    def test_sections(self):
        clock = _clock.RequestClock()
        clock.ended("/predict/", 0.5)
        clock.ended("/predict/", 1.5)
        clock.ended("/other", 4.0)
        seen = clock.since_last_read("a")
        self.assertEqual(seen["run_predictor_total"], {"min": 0.5, "max": 1.5, "avg": 1.0, "total": 2.0, "count": 2})
        self.assertEqual(seen["all_requests"], {"min": 0.5, "max": 4.0, "avg": 2.0, "total": 6.0, "count": 3})
        nothing = {"min": None, "max": None, "avg": None, "total": None, "count": 0}
        self.assertEqual(clock.since_last_read("a"), {"run_predictor_total": nothing, "all_requests": nothing})
        self.assertEqual(totals(clock.since_last_read("b")), (3, 6.0))

    def test_against_lists(self):
        chance, clock = random.Random(2), _clock.RequestClock()
        everything, position = [], {}
        names = ["client%d" % n for n in range(20)]
        for _ in range(5000):
            event = chance.random()
            name = chance.choice(names)
            if event < 0.6:
                everything.append(chance.randrange(1, 1000))
                clock.ended("/", everything[-1])
            elif event < 0.7:
                clock.move_on(name)
                position[name] = len(everything)
            else:
                wanted = everything[position.get(name, 0):]
                got = clock.since_last_read(name)["all_requests"]
                position[name] = len(everything)
                self.assertEqual(got["count"], len(wanted))
                if wanted:
                    self.assertEqual((got["min"], got["max"], got["total"]), (min(wanted), max(wanted), sum(wanted)))

    def test_clients_are_bounded(self):
        clock = _clock.RequestClock()
        clock.ended("/", 1.0)
        for number in range(_clock.CLIENTS_MAX + 1):
            clock.since_last_read(str(number))
        clock.ended("/", 2.0)
        self.assertEqual(len(clock._clients), _clock.CLIENTS_MAX)
        self.assertEqual(totals(clock.since_last_read("1")), (1, 2.0))
        # The one that was forgotten counts from the beginning.
        self.assertEqual(totals(clock.since_last_read("0")), (2, 3.0))

    def test_threads_lose_nothing(self):
        clock, counts = _clock.RequestClock(), []

        def end_many():
            for _ in range(2000):
                clock.ended("/", 1.0)

        threads = [threading.Thread(target=end_many) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            counts.append(clock.since_last_read("a")["all_requests"]["count"])
        counts.append(clock.since_last_read("a")["all_requests"]["count"])
        self.assertEqual(sum(counts), 8000)
