# SPDX-License-Identifier: MIT
"""What is not HTTP is no request, takes no row from those that are, and what is HTTP is found in every dress."""
import contextlib
import os
import socket
import unittest

import agent
import talks
from servers import greeters, nginx, stores
from talks import Case, Command, Connection

GETS = 20000
BATCH = 50
TURNS = 150  # per stranger: more in all than the row limit, if each were a request
# What clients say first, and next; the servers' words are in servers/greeters.py.
CLIENTS = {
    "smtp": [b"EHLO client.example\r\n", b"MAIL FROM:<a@example>\r\n", b"RCPT TO:<b@example>\r\n", b"DATA\r\n",
             b"GET well soon\r\n.\r\n"],
    "ftp": [b"USER anonymous\r\n", b"PASS guest\r\n", b"SYST\r\n"],
    "nats": [b"CONNECT {\"verbose\":false}\r\nPING\r\n", b"PUB subject 5\r\nhello\r\n"],
    "ssh": [b"SSH-2.0-OpenSSH_9.2p1\r\n"],
    "postgresql": [b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"\x00\x00\x00\x17\x00\x03\x00\x00user\x00postgres\x00\x00",
                   b"Q\x00\x00\x00\x0dSELECT 1\x00"],
    "mysql": [b"\x20\x00\x00\x01\x8d\xa2\x0b\x00" + b"\x00" * 24 + b"root\x00\x00", b"\x09\x00\x00\x00\x03SELECT 1"],
    "redis": [b"PING\r\n", b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", b"GET key\r\n", b"DEL key\r\n"],
    "memcached": [b"get key\r\n", b"gets key other\r\n", b"set key 0 0 5\r\nvalue\r\n", b"GET key\r\n"],
    "irc": [b"NICK nick\r\nUSER u 0 * :Real Name\r\n", b"JOIN #channel\r\n", b"PRIVMSG #channel :GET / HTTP\r\n"],
}


def say(endpoint, words, replies, turns):
    """Says words over one connection, again and again; waits for each reply."""
    with contextlib.closing(socket.create_connection(endpoint, 10)) as sock:
        for number in range(turns):
            sock.sendall(words[number % len(words)])
            got = b""
            while len(got) < len(replies[number % len(replies)]):
                got += sock.recv(65536)


class Strangers(Case):
    """The row limit is low, so that strangers who count would be seen in what the others lose."""

    ARGS = ("--max-rows-per-second", "100")

    def none_started(self, before):
        """Nothing has begun since."""
        self.assertEqual(before, self.started())

    def test_memcached(self):
        """Many small `get`s, and rows of a web server beside them."""
        stranger, server = self.start(stores.Memcached), self.start(nginx.Nginx)
        before, names = self.started(), []
        with socket.create_connection(stranger.endpoint) as sock, Connection(server.endpoint) as web:
            for number in range(GETS // BATCH):
                lines = [b"get key:%06d\r\n" % n for n in range(BATCH)]
                for line in lines:
                    sock.sendall(line)
                got = b""
                while got.count(b"END\r\n") < BATCH:
                    got += sock.recv(65536)
                if number % 20 == 0:
                    names.append(talks.name("web"))
                    web.ask(names[-1], "/small")
        self.rows(server, names)
        self.none_started(before + len(names))

    def test_memcached_in_capitals(self):
        """The same words as HTTP's, without a target."""
        stranger, before = self.start(stores.Memcached), self.started()
        for line, reply in ((b"GET key\r\n", b"ERROR\r\n"), (b"DELETE key\r\n", b"ERROR\r\n")):
            for _ in range(5):
                say(stranger.endpoint, [line], [reply], 40)
        self.none_started(before)

    def test_redis(self):
        """Redis takes words and its own framing."""
        stranger, before = self.start(stores.Redis), self.started()
        say(stranger.endpoint, [b"PING\r\n"], [b"+PONG\r\n"], 500)
        say(stranger.endpoint, [b"*1\r\n$4\r\nPING\r\n"], [b"+PONG\r\n"], 500)
        say(stranger.endpoint, [b"SET name value\r\n"], [b"+OK\r\n"], 100)
        say(stranger.endpoint, [b"GET name\r\n"], [b"$5\r\nvalue\r\n"], 500)
        self.none_started(before)

    def greeters(self):
        """The server of many protocols, and their addresses."""
        server = self.start(Command, *talks.python("greeters.py", "{port}"))
        return server, {words[0]: ("127.0.0.1", int(words[1])) for words in map(str.split, server.text().splitlines())}

    def test_greetings(self):
        """Each protocol, between HTTP's requests on the same loop: those have their rows, all of them."""
        server, ports = self.greeters()
        before, web, names = self.started(), self.connect(server), []
        for stranger in greeters.GREETERS:
            with self.subTest(stranger=stranger):
                self.speak(ports[stranger], stranger)
                names.append(talks.name("beside-" + stranger))
                web.ask(names[-1], "/" + stranger)
                count = self.started()
                before, now = count, before + 1
                self.assertEqual(now, count)
        rows = self.rows(server, names)
        self.assertEqual({(200, "GET")}, {(row["status"], row["method"]) for row in rows.values()})

    @staticmethod
    def speak(endpoint, stranger):
        """TURNS turns over one connection, and a short one over each of ten others."""
        words, (greeting, replies) = CLIENTS[stranger], greeters.GREETERS[stranger]
        for turns in [TURNS] + [len(words)] * 10:
            with socket.create_connection(endpoint, 10) as sock:
                stream = Connection(sock=sock)
                stream.take(len(greeting))
                for number in range(turns):
                    stream.send(words[number % len(words)])
                    stream.take(len(replies[number % len(replies)]))

    def test_methods_and_targets(self):
        """Every method, and every form of target, is a request."""
        server, _ = self.greeters()
        asked = {}
        for method, target in (("OPTIONS", "*"), ("CONNECT", "example.com:443"), ("CONNECT", "[::1]:443"),
                               ("PROPFIND", "/dav/"), ("VERSION-CONTROL", "/dav/file"), ("M-SEARCH", "*"),
                               ("GET", "http://example.com/absolute"), ("PUT", "HTTP://EXAMPLE.com/loud"),
                               ("GET", "https://example.com/safe"), ("DELETE", "/d"), ("PATCH", "/p"), ("TRACE", "/t"),
                               ("PRI-MARY", "/own"), ("REPORT", "/dav/?x"), ("NOTIFY", "/upnp"), ("X", "/x")):
            with Connection(server.endpoint) as connection:  # what follows a CONNECT need be no HTTP
                asked[talks.name("method")] = method
                connection.send(talks.head(list(asked)[-1], method, target))
                connection.take(len(b"HTTP/1.1 200 OK\r\n"))
        rows = self.rows(server, asked)
        self.assertEqual(asked, {ident: row["method"] for ident, row in rows.items()})

    def test_slow_heads(self):
        """A head that comes byte by byte has its row, from the first byte on; so has one that is cut in its method."""
        server = self.start(Command, *talks.python("raw.py", "{port}"))
        names = [talks.name("slow") for _ in range(6)]
        connection = self.connect(server)
        for ident, cuts in zip(names, (range(1, 200), (1,), (2,), (3,), (4,), (5,))):
            data, at = talks.head(ident), 0
            for cut in [cut for cut in cuts if cut < len(data)] + [len(data)]:
                connection.send(data[at:cut])
                at = cut
                self.until_read(server)
            connection.answer()
        rows = self.rows(server, names)
        self.assertEqual({("GET", "/", 200)}, {(row["method"], row["path"], row["status"]) for row in rows.values()})
        self.assertEqual({len(talks.head(names[0]))}, {row["net"]["received_bytes"] for row in rows.values()})

    def test_cut_heads_below_their_ancestor(self):
        """Rows whose head took two reads are their server's ancestors' rows, too."""
        server = self.start(Command, *talks.python("raw.py", "{port}"))
        ident, connection = talks.name("cut"), self.connect(server)
        data = talks.head(ident)
        connection.send(data[:30])
        self.until_read(server)
        connection.send(data[30:])
        connection.answer()
        self.rows(server, [ident])
        self.assertIn(ident, {row["id"] for row in self.meter.rows(scope="pid:%d" % os.getpid())})

    @staticmethod
    def until_read(server):
        """Waits until every thread of the server waits again: it has read what was sent."""
        agent.poll_until(server.idle, 5, 0.0005)


class Bodies(Case):
    """Connections that change their tongue."""

    def test_text_after_an_upgrade(self):
        """Behind a 101 there are no requests, even where it looks like one."""
        server = self.start(Command, *talks.python("upgrade.py", "{port}"))
        before, ident = self.started(), talks.name("upgrade")
        with Connection(server.endpoint) as connection:
            self.assertEqual(101, connection.ask(ident, "/", "GET", "Upgrade: words", "Connection: Upgrade").status)
            for number in range(200):
                line = b"GET /%d HTTP/1.1\r\n\r\n" % number
                connection.send(line)
                connection.take(len(line))
        self.rows(server, [ident])
        self.assertEqual(before + 1, self.started())

    def test_letters_in_a_body(self):
        """A slow upload of what looks like requests is one."""
        server = self.start(Command, *talks.python("echo.py", "{port}"))
        before, ident, line = self.started(), talks.name("letters"), b"POST /x HTTP/1.1\r\n\r\n"
        with Connection(server.endpoint) as connection:
            connection.send(talks.head(ident, "POST", "/echo", "Content-Length: %d" % (200 * len(line))))
            self.assertEqual(200, int(connection.line().split()[1]))
            while connection.line():
                pass
            for _ in range(200):
                connection.send(line)
                connection.take(len(line))
        row = self.rows(server, [ident])[ident]
        self.assertGreater(row["net"]["received_bytes"], 200 * len(line))
        self.assertEqual(before + 1, self.started())


if __name__ == "__main__":
    unittest.main()
