# SPDX-License-Identifier: MIT
"""A second try for accuracy, which noise can spoil once; none for counts.

A machine whose host is away for milliseconds can push a share of rows, or a sum under load, beyond its bound once; a
systematic error does so every time. A test with bounds of that kind wears @twice and states them by at_least() and
at_most(). If one is missed, the test is run again at once with fresh load, what both tries found is printed, and the
test fails if the second misses a bound, too.

A miss is kept until the end of its try, so it hides no error that comes after it. Whatever else fails (a count, a
missing row, a wrong field) fails at once, and then nothing is tried again.
"""
import functools
import unittest

AGAIN = []  # ids of the tests that needed a second try, for the summary of the run
CURRENT = None  # the Try that runs


class Missed(AssertionError):
    """Figures of accuracy lie beyond their bounds."""


class Try:
    """One run of a test: what was judged, as (is within its bound, text, details)."""

    def __init__(self):
        self.figures = []

    def missed(self):
        """True if a figure lies beyond its bound."""
        return not all(good for good, _, _ in self.figures)

    def show(self, name):
        """Prints each figure."""
        for good, text, _ in self.figures:
            print("%s: %s%s" % (name, text, "" if good else " MISSED"), flush=True)

    def failure(self, name):
        """What was missed, with details, for people."""
        return "\n".join("%s: %s\n%s" % (name, text, details) for good, text, details in self.figures if not good)


def judge(good, text, details=""):
    """Notes a figure; outside of @twice a miss raises at once."""
    if CURRENT:
        CURRENT.figures.append((good, text, details))
    elif not good:
        raise Missed("%s\n%s" % (text, details))


def at_least(figure, bound, what, details=""):
    """The figure of accuracy must not be below the bound."""
    judge(figure >= bound, "%s %.6g, at least %.6g" % (what, figure, bound), details)


def at_most(figure, bound, what, details=""):
    """The figure of accuracy must not be above the bound."""
    judge(figure <= bound, "%s %.6g, at most %.6g" % (what, figure, bound), details)


def run_try(test, case, name):
    """Runs the test once; returns its Try. What it raises goes on, with what had been missed until then printed."""
    global CURRENT
    assert not CURRENT, "a second try within a try"
    CURRENT = this = Try()
    try:
        test(case)
    except BaseException:
        if this.missed():
            this.show(name)
        raise
    finally:
        CURRENT = None
    return this


def renew(case):
    """As between two tests: ends what the first try started, and prepares the second."""
    case.tearDown()
    case.doCleanups()
    case.setUp()


def n_failed(case):
    """How many failures the running test's result has: one more after a subtest or a clean-up that failed."""
    result = case._outcome.result  # pylint: disable=protected-access
    return len(result.failures) + len(result.errors)


def second_try(test, case):
    """The second Try, from setUp() on. One that cannot be made proves nothing, so the miss stands."""
    try:
        renew(case)
        return run_try(test, case, "second try")
    except unittest.SkipTest as reason:
        raise Missed("no second try: %s" % reason) from None


def twice(test):
    """Decorator of a test method: see above."""
    @functools.wraps(test)
    def tried(case):
        failed = n_failed(case)
        first = run_try(test, case, "first try")
        if not first.missed():
            return
        first.show("first try")
        if n_failed(case) > failed:
            raise Missed(first.failure("only try, since something else failed"))
        AGAIN.append(case.id())
        try:
            second = second_try(test, case)
        except Missed as error:
            raise Missed("%s\n%s" % (first.failure("first try"), error)) from None
        second.show("second try")
        if second.missed():
            raise Missed(first.failure("first try") + "\n" + second.failure("second try"))

    return tried
