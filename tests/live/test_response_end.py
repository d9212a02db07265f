# SPDX-License-Identifier: MIT
"""Where a response ends, and what a request is until then: ends in every spelling, heads in many vectors, looks at the
own socket, bytes that are read ahead, streams in both directions.
"""
import os
import threading
import time
import unittest

import accuracy
import daemons
import fixtures
import talks
from servers import go, response_ends, varnish
from talks import MS, Case, Command, Connection

IDLE_S = 2
ENDED_NS = 1000 * MS  # a request that is taken for unanswered lasts as long as its idle connection
LOOK_REPEATS = 2
LOOKS = ("none", "peek", "eagain", "unblocked", "errors")  # servers/raw.py


class Raw(Case):
    """Answers of servers/raw.py, which says how each is written."""

    def setUp(self):
        """The server."""
        self.server = self.start(Command, *talks.python("raw.py", "{port}"))

    def ended(self, asked, connections):
        """{id: row} of requests whose connections idle for a while: ended when they were answered."""
        time.sleep(IDLE_S)  # the time is what is tested: nothing happens
        rows = self.rows(self.server, asked)
        late = [talks.brief(row) for row in rows.values() if row["duration_ns"] > ENDED_NS or row["outcome"] != "completed"]
        self.assertEqual([], late)
        following = {talks.name("next"): connection for connection in connections}
        for ident, connection in following.items():
            connection.ask(ident, "/health")
        self.rows(self.server, following)
        return rows

    def test_ends(self):
        """Every spelling of a response's end, on kept connections."""
        asked, connections = {}, []
        for how in response_ends.ENDS:
            connections.append(self.connect(self.server))
            ident = talks.name("end-" + how)
            asked[ident] = connections[-1].ask(ident, "/end/" + how)
        rows = self.ended(asked, connections)
        self.assertEqual({ident: answer.status for ident, answer in asked.items()},
                         {ident: row["status"] for ident, row in rows.items()})

    def test_heads_alone(self):
        """HEAD: what its response's framing tells of does not come."""
        asked, connections = {}, []
        for how in ("long", "longer", "cut-in-the-length"):
            connection, ident = self.connect(self.server), talks.name("head-" + how)
            pieces = response_ends.ENDS[how]
            connection.send(talks.head(ident, "HEAD", "/end/" + how))
            asked[ident] = connection.take(sum(map(len, pieces)))  # this server has a body in spite of it
            connections.append(connection)
        self.assertEqual({200}, {row["status"] for row in self.ended(asked, connections).values()})

    def test_sizes_at_a_buffers_edge(self):
        """Responses whose last bytes do not fit into the writer's buffer."""
        asked, connections = {}, []
        for n in (*range(4083, 4101), 8191, 8192, 8193):
            connections.append(self.connect(self.server))
            ident = talks.name("straddle%d" % n)
            connections[-1].ask(ident, "/straddle?n=%d" % n)
            asked[ident] = n
        rows = self.ended(asked, connections)
        self.assertEqual(asked, {ident: row["net"]["sent_bytes"] for ident, row in rows.items()})

    def test_heads_in_vectors(self):
        """A head is gathered from as many vectors as it takes."""
        connection, asked = self.connect(self.server), {}
        for n in (1, 2, 3, 5, 8, 20, 60):
            asked[talks.name("vectors%d" % n)] = n
            self.assertEqual(203, connection.ask(list(asked)[-1], "/vectors?n=%d" % n).status)
        rows = self.rows(self.server, asked)
        self.assertEqual(dict.fromkeys(asked, 203), {ident: row["status"] for ident, row in rows.items()})

    def test_read_ahead(self):
        """A thread reads the next request's first byte while the answer is written: that byte is the next one's."""
        names, connection = [talks.name("ahead") for _ in range(5)], self.connect(self.server)
        for ident in names[:-1]:
            connection.send(talks.head(ident, "GET", "/read-ahead"))
            connection.answer()
        connection.ask(names[-1], "/health", "POST")
        rows = self.rows(self.server, names)
        self.assertEqual([("GET", "/read-ahead")] * 4 + [("POST", "/health")],
                         [(rows[ident]["method"], rows[ident]["path"]) for ident in names])

    def test_read_ahead_of_early(self):
        """The same with a next request that comes between the answer's head and its body."""
        names, connection = [talks.name("piped") for _ in range(4)], self.connect(self.server)
        connection.send(talks.head(names[0], "GET", "/read-ahead"))
        for ident in names[1:]:
            self.assertEqual(b"HTTP/1.1 200 OK", connection.line())
            connection.send(talks.head(ident, "GET", "/read-ahead" if ident != names[-1] else "/health"))
            self.assertEqual([b"Content-Length: 2", b""], [connection.line(), connection.line()])
            connection.take(2)
        connection.answer()
        rows = self.rows(self.server, names)
        self.assertEqual([("GET", "/read-ahead")] * 3 + [("GET", "/health")],
                         [(rows[ident]["method"], rows[ident]["path"]) for ident in names])

    @accuracy.twice
    def test_looks(self):
        """A look at the own socket between two chunks ends nothing: all of the handler's CPU is in the row."""
        cpu = {}
        for how in LOOKS:
            with Connection(self.server.endpoint) as connection:
                for _ in range(LOOK_REPEATS):
                    ident = talks.name("look-" + how)
                    cpu[ident] = int(connection.ask(ident, "/look/" + how).body.split()[-1])
        rows = self.rows(self.server, cpu)
        self.assertEqual([], [talks.brief(row) for row in rows.values()
                              if (row["status"], row["outcome"]) != (200, "completed")])
        for ident, row in rows.items():
            accuracy.at_least(row["cpu_ns"], 0.97 * cpu[ident], ident + ": CPU", talks.brief(row))
            accuracy.at_most(row["cpu_ns"], 1.15 * cpu[ident] + 3 * MS, ident + ": CPU", talks.brief(row))
        self.assertEqual([], [talks.brief(row) for row in rows.values() if talks.confidence(row) != "exact"])


class Go(Case):
    """Go's net/http: reads ahead, and writes by a buffer of 4096 bytes."""

    def test_sizes(self):
        """Answers of a size that fills the buffer, with and without a length: ended while the connections idle."""
        server = self.start(go.Go)
        asked = {}
        for n in (1, 2047, 2048, 2049, *range(3900, 4100)):
            connection = self.connect(server)
            ident = talks.name("go%d" % n)
            asked[ident] = len(connection.ask(ident, "/size?n=%d" % n).body)
        time.sleep(IDLE_S)  # the time is what is tested: nothing happens
        rows = self.rows(server, asked)
        self.assertEqual([], [talks.brief(row) for row in rows.values() if row["duration_ns"] > ENDED_NS])

    def test_pipelined(self):
        """Go's background read takes the first byte of a pipelined request alone."""
        server, names = self.start(go.Go), [talks.name("gopipe") for _ in range(12)]
        connection = self.connect(server)
        for ident in names:
            connection.send(talks.head(ident, "GET", "/sleep?us=3000"))
        for _ in names:
            connection.answer()
        rows = self.rows(server, names)
        self.assertEqual({("GET", "/sleep")}, {(row["method"], row["path"].partition("?")[0]) for row in rows.values()})


class Varnish(Case):
    """Varnish writes its heads by many vectors."""

    def test_status(self):
        """Passed on and from its store: the status is known."""
        behind = self.start(Command, *talks.python("raw.py", "{port}"))
        server = self.start(varnish.Varnish, behind.endpoint)
        wanted = {}
        for number in range(10):
            with Connection(server.endpoint) as connection:
                for path in ("/vectors?n=3", "/end/whole?%d" % (number % 2), "/end/no-content"):
                    ident = talks.name("varnish")
                    wanted[ident] = connection.ask(ident, path).status
        rows = self.rows(server, wanted)
        self.assertEqual(wanted, {ident: row["status"] for ident, row in rows.items()})


class Duplex(Case):
    """A server that answers before the body has come, and more of it afterwards."""

    # Fewer than there are pieces in a second; more than come until the agent has seen that they are a body's, twice over.
    ARGS = ("--max-rows-per-second", "400")
    PACE = 0.0005
    PIECES = 2000
    LINE = b"GET /this/is/a/line HTTP/1.1 %06d\n"

    def stream(self, connection, ident):
        """Sends a body line by line while it comes back."""
        size = len(self.LINE % 0) * self.PIECES
        connection.send(talks.head(ident, "POST", "/echo", "Content-Length: %d" % size))
        answers = []
        reader = threading.Thread(target=lambda: answers.append(connection.answer()))
        reader.start()
        beside = []
        for number in range(self.PIECES):
            connection.send(self.LINE % number)
            time.sleep(self.PACE)
            if number % 100 == 50:
                beside.append(talks.name("beside"))
                with Connection(connection.sock.getpeername()) as other:
                    other.ask(beside[-1], "/health")
        reader.join(30)
        self.assertEqual(size, len(answers[0].body))
        return beside

    def check(self, server):
        """One row for the stream, one for each small request beside it, and no other."""
        before, ident = self.started(), talks.name("duplex")
        beside = self.stream(self.connect(server), ident)
        rows = self.rows(server, [ident, *beside])
        row, size = rows[ident], len(self.LINE % 0) * self.PIECES
        self.assertEqual((200, "POST", "/echo"), (row["status"], row["method"], row["path"]))
        self.assertGreater(row["net"]["received_bytes"], size)
        self.assertGreater(row["net"]["sent_bytes"], size)
        self.assertEqual(before + 1 + len(beside), self.started())
        return row

    def test_node(self):
        """On a loop, whose thread served others meanwhile."""
        if daemons.program("node", "nodejs") is None:
            self.skipTest("no node here: scripts/setup test")
        node = [daemons.program("node", "nodejs"), os.path.join(fixtures.SERVERS, "duplex.js"), "{port}"]
        self.assertNotEqual("exact", talks.confidence(self.check(self.start(Command, *node))))

    def test_threads(self):
        """A thread for each connection, which echoes whatever it reads."""
        self.check(self.start(Command, *talks.python("echo.py", "{port}")))


if __name__ == "__main__":
    unittest.main()
