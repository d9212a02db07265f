# SPDX-License-Identifier: MIT
"""Reads and writes seen by the exits of system calls alone, as on a kernel with neither their tracepoints nor fexit.

All shapes and all ways are played again, and must leave the same rows.
"""
import os
import subprocess
import tempfile
import unittest
from unittest import mock

import agent
import test_shapes
import test_ways
from shape_puppet import Puppet, Talk
from shape_rows import Rows, Want

BETTER_WAYS = ("on_receive", "on_send", "fexit/")


class TiedAgent(agent.Agent):
    """An agent that is left with system calls."""

    def __init__(self, *args, **options):
        super().__init__(*args, prefix=agent.refusing(*BETTER_WAYS), **options)


def feature(meter, name):
    """A row of agent.features."""
    return {row["name"]: row for row in meter.stats(sections="agent")["agent"]["features"]}[name]


class ByCalls:
    """Plays a class of tests again: its module's agent, and those that it starts, are left with system calls."""

    module = None

    @classmethod
    def setUpClass(cls):
        if reason := agent.skip_reason():
            raise unittest.SkipTest(reason)
        patches = [mock.patch.object(cls.module.agent, "Agent", TiedAgent)]
        if cls.module is test_ways:  # through io_uring nothing is seen here
            patches += [mock.patch.object(test_ways, name, tuple(way for way in getattr(test_ways, name) if way != "uring"))
                        for name in ("UNSEEN_IN", "UNSEEN_OUT")]
        for patch in patches:
            patch.start()
            cls.addClassCleanup(patch.stop)
        cls.module.setUpModule()
        cls.addClassCleanup(cls.module.tearDownModule)

    def test_which_way(self):
        """The agent says by which way it sees, and what it does not."""
        for name, word in (("requests", "exits of system calls"), ("splice", "exits of system calls"),
                           ("io_uring", "not seen")):
            self.assertIn(word, feature(self.module.METER, name)["reason"])


class ThreadShapes(ByCalls, test_shapes.ThreadShapes):
    """See there."""

    module = test_shapes


class LoopShapes(ByCalls, test_shapes.LoopShapes):
    """See there."""

    module = test_shapes


class UnixShapes(ByCalls, test_shapes.UnixShapes):
    """See there."""

    module = test_shapes


class In(ByCalls, test_ways.In):
    """See there."""

    module = test_ways


class Out(ByCalls, test_ways.Out):
    """See there."""

    module = test_ways


class Hands(ByCalls, test_ways.Hands):
    """See there."""

    module = test_ways


class Outgoing(ByCalls, test_ways.Outgoing):
    """See there."""

    module = test_ways


class OlderThanTheAgent(ByCalls, test_ways.OlderThanTheAgent):
    """See there."""

    module = test_ways


class Places(unittest.TestCase):
    """What only this way has: state by a socket's address, and calls that move nothing."""

    def setUp(self):
        if reason := agent.skip_reason():
            self.skipTest(reason)
        directory = tempfile.TemporaryDirectory(prefix="reqmeter-")
        self.addCleanup(directory.cleanup)
        self.puppet = Puppet()
        self.addCleanup(self.puppet.stop)
        self.listeners = {"tcp4": self.puppet.listen(),
                          "unix": self.puppet.listen("unix", os.path.join(directory.name, "s"))}
        self.meter = TiedAgent("--scope", "pid:%d" % os.getpid())
        self.addCleanup(self.meter.stop)
        self.rows = Rows(self.meter, self.puppet.pid)

    def check(self, wants):
        """Exactly these rows."""
        lines = self.rows.mismatches(wants)
        self.assertFalse(lines, "\n  " + "\n  ".join(lines))

    def served(self, family, worker=None):
        """One request on a connection of its own, which ends: its Want."""
        name = next(test_ways.NAMES)
        data = test_ways.head(name)
        talk = Talk(self.puppet, self.listeners[family], worker=worker)
        talk.exchange(data, test_ways.OK)
        talk.close()
        return Want(name, received=len(data), sent=len(test_ways.OK), span=talk.span())

    def test_addresses_are_used_again(self):
        """Sockets that come and go lie where others lay: each has its row, and none has anything of another's."""
        for family in self.listeners:
            with self.subTest(family=family):
                self.check([self.served(family, "t1") for _ in range(100)])

    def test_half_a_head_at_an_address(self):
        """A socket that dies with half a head read leaves it to nobody who gets its address."""
        for family in self.listeners:
            with self.subTest(family=family):
                wants = []
                for _ in range(20):
                    talk = Talk(self.puppet, self.listeners[family], worker="t1")
                    talk.say(test_ways.head("never")[:20])
                    talk.hear(20)
                    talk.close()
                    wants.append(self.served(family, "t1"))
                self.check(wants)

    def test_reads_for_nothing(self):
        """A read into no memory brings nothing, and is no end of file: the request and the next are whole."""
        talk, wants = Talk(self.puppet, self.listeners["tcp4"]), []
        for _ in range(2):
            name = next(test_ways.NAMES)
            data = test_ways.head(name)
            talk.say(data)
            talk.do("in", "read", talk.fd, 0)
            talk.hear(20)
            talk.do("in", "read", talk.fd, 0)
            talk.hear(len(data) - 20)
            talk.answer(test_ways.OK)
            talk.get(len(test_ways.OK))
            wants.append(Want(name, received=len(data), sent=len(test_ways.OK), span=talk.span(-3)))
        talk.close()
        self.check(wants)

    def places(self):
        """The number of sockets whose state the agent keeps."""
        for number in os.listdir("/proc/%d/fdinfo" % self.meter.pid):
            with open("/proc/%d/fdinfo/%s" % (self.meter.pid, number)) as info:
                ids = [line.split()[1] for line in info if line.startswith("map_id:")]
            if ids and "name socket_places" in self.bpftool("show", "id", ids[0]):
                return self.bpftool("dump", "id", ids[0]).count('"key"')
        self.fail("the agent has no such map")

    def bpftool(self, *arguments):
        """What bpftool says of maps."""
        try:
            return subprocess.run(("/usr/sbin/bpftool", "map") + arguments, check=True, capture_output=True, text=True).stdout
        except OSError as error:
            self.skipTest(str(error))

    def test_places_are_given_back(self):
        """The state of a socket goes when the socket does: at once (TCP), or when the agent next looks (Unix)."""
        for family, listener in self.listeners.items():
            with self.subTest(family=family):
                before = self.places()
                talks = [Talk(self.puppet, listener) for _ in range(40)]
                for talk in talks:
                    talk.exchange(test_ways.head(next(test_ways.NAMES)), test_ways.OK)
                self.assertGreaterEqual(self.places(), before + 40)
                for talk in talks:
                    talk.close()
                self.assertTrue(agent.poll_until(lambda n=before: self.meter.rows() and self.places() < n + 20, 60, 0.3),
                                "%d places left, %d before" % (self.places(), before))


if __name__ == "__main__":
    unittest.main()
