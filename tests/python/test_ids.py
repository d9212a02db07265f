# SPDX-License-Identifier: MIT
"""Ids from headers: the same rules as the agent's."""
import random
import unittest

from reqmeter import _ids

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = "00-%s-%s-01" % (TRACE, SPAN)
CASES = [
    ({"x-request-id": " a b "}, "a b"),
    ({"x-correlation-id": "c", "x-datarobot-request-id": "d"}, "c"),
    ({"x-datarobot-request-id": "d", "traceparent": TRACEPARENT}, "d"),
    ({"x-amzn-trace-id": "Self=1-6789;Root=1-5759;Sampled=1"}, "1-5759"),
    ({"x-amzn-trace-id": "Self=1"}, None),
    ({"x-cloud-trace-context": "abc/123;o=1"}, "abc"),
    ({"x-b3-traceid": "e"}, "e"),
    ({"b3": "80f1-e457-1"}, "80f1"),
    ({"b3": "0"}, None),
    ({"uber-trace-id": "5:6:0:1"}, "5"),
    ({"uber-trace-id": "5%3A6%3A0%3A1"}, "5"),
    ({"sw8": "1-VFJBQ0U=-U0VH-3"}, "TRACE"),
    ({"sw8": "1-!!!"}, None),
    ({"traceparent": TRACEPARENT}, TRACE),
    ({"traceparent": "00-" + "0" * 32 + "-%s-01" % SPAN}, None),
    ({"x-request-id": "", "b3": "80f1-e457-1"}, "80f1"),
    ({"x-request-id": "x" * 200}, "x" * 128),
    ({"x-request-id": "a\x00b"}, None),
    ({"x-request-id": "\xe4"}, None),
    ({}, None),
]


class IdsTest(unittest.TestCase):
    """Finder and its parts."""

    def test_cases(self):
        for headers, wanted in CASES:
            with self.subTest(headers=headers):
                self.assertEqual(_ids.Finder("x-request-id").find(headers), wanted)

    def test_own_header_goes_first(self):
        headers = {"x-mine": "mine", "x-request-id": "other", "b3": "80f1-e457-1"}
        self.assertEqual(_ids.Finder("X-Mine").find(headers), "mine")
        self.assertEqual(_ids.Finder("b3").find(headers), "80f1")

    def test_underscores(self):
        self.assertEqual(_ids.normal_name("X_Request_ID"), "x-request-id")

    def test_traceparent(self):
        self.assertEqual(_ids.parse_traceparent(TRACEPARENT), (TRACE, SPAN))
        self.assertEqual(_ids.parse_traceparent("cc-%s-%s-01-more" % (TRACE, SPAN)), (TRACE, SPAN))
        for bad in ("", TRACEPARENT.upper(), TRACEPARENT + "-x", TRACEPARENT[1:], "ff" + TRACEPARENT[2:],
                    "00-%s-%s-01" % (TRACE, "0" * 16)):
            self.assertEqual(_ids.parse_traceparent(bad), (None, None), bad)

    def test_garbage(self):
        chance = random.Random(1)
        alphabet = "".join(map(chr, range(256))) + "-;=:/%" * 20
        for _ in range(5000):
            value = "".join(chance.choices(alphabet, k=chance.randrange(80)))
            for name in dict(_ids._RULES):
                found = _ids.Finder(name).find({name: value})
                self.assertTrue(found is None or (found.isascii() and found.isprintable() and found))
