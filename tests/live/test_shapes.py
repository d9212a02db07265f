# SPDX-License-Identifier: MIT
"""Every shape of HTTP/1, byte for byte, and the rows that each must leave.

The server is a puppet (servers/shape_puppet.c): each of its reads and writes is ordered by the test, so what a row
must say is known. All shapes are played twice: with a thread for each connection, and on one event loop. Where one
connection is served at a time, the loop demonstrably serves nothing else, so its rows are as exact as a thread's.
"""
import itertools
import os
import sys
import tempfile
import unittest

import agent

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "servers"))

from shape_puppet import Puppet, Talk  # noqa: E402
from shape_rows import Rows, Want  # noqa: E402

NAMES = ("shape%d-%d" % (os.getpid(), number) for number in itertools.count())
MS = 1000000
HEAD_COPY = 4096    # shared/limits.h: what is seen of one read
HEAD_TOTAL = 16384  # and of one head
RESPONSE_COPY = 512
METER = PUPPET = DIRECTORY = None
LISTENERS = {}


def setUpModule():
    """One puppet and one agent, which watches this process and its descendants: the puppet and its clients."""
    global METER, PUPPET, DIRECTORY
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    PUPPET = Puppet()
    DIRECTORY = tempfile.TemporaryDirectory(prefix="reqmeter-")
    LISTENERS.update(tcp4=PUPPET.listen(), unix=PUPPET.listen("unix", os.path.join(DIRECTORY.name, "s")))
    METER = agent.Agent("--scope", "pid:%d" % os.getpid())


def tearDownModule():
    """The agent must have survived it all."""
    PUPPET.stop()
    DIRECTORY.cleanup()
    code = METER.stop()
    if code:
        raise RuntimeError("the agent ended with %d" % code)


def head(name, method="GET", path="/", *fields, version="1.1"):
    """A request's head with an id."""
    lines = ["%s %s HTTP/%s" % (method, path, version), "Host: x", "X-Request-ID: " + name, *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def response(body=b"ok", status="200 OK", *fields):
    """A response with a Content-Length."""
    lines = ["HTTP/1.1 " + status, "Content-Length: %d" % len(body), *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def padded(name, n, id_last=False):
    """A head of exactly n bytes; its id is the first field or the last."""
    start, ident, end = b"GET /long HTTP/1.1\r\n", b"X-Request-ID: " + name.encode() + b"\r\n", b"\r\n"
    left = n - len(start) - len(ident) - len(end)
    fields = []
    while left:
        size = left if left <= 2000 else min(1000, left - 100)
        fields.append(b"X: " + b"p" * (size - 5) + b"\r\n")
        left -= size
    fill = b"".join(fields)
    return start + (fill + ident if id_last else ident + fill) + end


def chunk(data):
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
OK = response()


class Shapes:
    """The shapes, for either style of server."""

    style, family = None, "tcp4"

    def setUp(self):
        """Nothing is left over from the test before."""
        self.rows = Rows(METER, PUPPET.pid)
        self.rows.seen = {row["handle"] for rows in self.rows.new() for row in rows}
        self.open, self.disturbed = [], PUPPET.disturbed
        self.addCleanup(self.close_all)

    def close_all(self):
        """Closes what a failed test left open."""
        for talk in self.open:
            talk.abandon()

    def talk(self, **options):
        """A new connection."""
        talk = Talk(PUPPET, LISTENERS[self.family], self.style, **options)
        self.open.append(talk)
        return talk

    def end(self, talk):
        """The server closes, then the client."""
        self.open.remove(talk)
        talk.close()

    def check(self, *wants):
        """
        Exactly these rows, as they should be. For every order that a thread spent unusual CPU time on, one may be less
        sure than it should.
        """
        lines = self.rows.mismatches(wants)
        unsure = [line for line in lines if line.endswith("confidence 'boundary', not 'exact'")]
        if lines and (lines != unsure or len(lines) > PUPPET.disturbed - self.disturbed):
            self.fail("\n  " + "\n  ".join(lines))

    def one(self, request, answer, **want):
        """One request in one read, its response in one write: its row."""
        name = next(NAMES)
        talk = self.talk()
        data = request(name)
        talk.exchange(data, answer)
        self.end(talk)
        want = {"id": name, "received": len(data), "sent": len(answer), "span": talk.span(), **want}
        self.check(Want(**want))

    # --- one after the other ---

    def test_keep_alive(self):
        """Three requests on a connection: a row each with its own bytes; each ends before the next begins."""
        talk, wants = self.talk(), []
        for number in range(3):
            name = next(NAMES)
            data, answer = head(name, "GET", "/k%d" % number), response(b"x" * number)
            talk.exchange(data, answer)
            wants.append(Want(name, path="/k%d" % number, received=len(data), sent=len(answer), span=talk.span(-2)))
        self.check(*wants)
        self.end(talk)

    def test_blocked_read(self):
        """The server sleeps in the read before the request comes: the wait is not the request's."""
        talk, name = self.talk(), next(NAMES)
        data = head(name)
        order = PUPPET.begin(talk.worker, "in", "recv", talk.fd, 65536)
        PUPPET.do("t63", "nap", 50)
        talk.say(data)
        before = PUPPET.result(order).after
        after = talk.answer(OK).after
        self.end(talk)
        self.check(Want(name, received=len(data), sent=len(OK), span=(0, after - before + 5 * MS)))

    # --- pipelining ---

    def pipelined(self, n, answers):
        """n requests in one segment and one read; answers(talk, responses) writes."""
        talk, names = self.talk(), [next(NAMES) for _ in range(n)]
        heads = [head(name, "GET", "/p%d" % i) for i, name in enumerate(names)]
        responses = [response(b"r" * (10 + i)) for i in range(n)]
        talk.say(b"".join(heads))
        talk.hear(sum(map(len, heads)))
        answers(talk, responses)
        talk.get(sum(map(len, responses)))
        self.end(talk)
        return talk, [Want(name, path="/p%d" % i, received=len(heads[i]), sent=len(responses[i]),
                           confidence="boundary") for i, name in enumerate(names)]

    def answer_each(self, talk, responses):
        """A write for each response."""
        for data in responses:
            talk.answer(data)

    def answer_at_once(self, talk, responses):
        """One write for all."""
        talk.answer(b"".join(responses))

    def test_pipelined_two(self):
        """
        Two in one read, answered one by one. All were read at the same instant, so all start there; where the work for
        one ends and for the next begins is a guess at their responses' edges: boundary. Bytes are each one's own.
        """
        talk, wants = self.pipelined(2, self.answer_each)
        for number, want in enumerate(wants):
            want.span = talk.span(0, 1 + number)
        self.check(*wants)

    def test_pipelined_five(self):
        """The same with five."""
        talk, wants = self.pipelined(5, self.answer_each)
        for number, want in enumerate(wants):
            want.span = talk.span(0, 1 + number)
        self.check(*wants)

    def test_pipelined_two_at_once(self):
        """Answered in one write: all end there. Their statuses are read from what is seen of the write (512 bytes)."""
        talk, wants = self.pipelined(2, self.answer_at_once)
        for want in wants:
            want.span = talk.span()
        self.check(*wants)

    def test_pipelined_five_at_once(self):
        """The same with five."""
        talk, wants = self.pipelined(5, self.answer_at_once)
        for want in wants:
            want.span = talk.span()
        self.check(*wants)

    def test_pipelined_across_reads(self):
        """The second head is cut by the end of the read: it is whole after the next read, the first answered between."""
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        heads = [head(name) for name in names]
        talk.say(b"".join(heads))
        talk.hear(len(heads[0]) + 10)
        talk.answer(OK)
        talk.hear(len(heads[1]) - 10)
        talk.answer(OK)
        talk.get(2 * len(OK))
        self.end(talk)
        self.check(*(Want(name, received=len(data), sent=len(OK), confidence=None)
                     for name, data in zip(names, heads)))

    # --- heads cut into pieces ---

    def test_byte_by_byte(self):
        """Every byte in a read of its own: one row; it starts with the first byte."""
        talk, name = self.talk(), next(NAMES)
        data = head(name)
        talk.say(data)
        for _ in data:
            talk.hear(1)
        talk.answer(OK)
        self.end(talk)
        self.check(Want(name, received=len(data), sent=len(OK), span=talk.span()))

    def test_cut_at_every_byte(self):
        """A head of 300 bytes in two reads, cut at each byte in turn, all on one connection."""
        talk, wants = self.talk(), []
        for cut in range(1, 300):
            name = next(NAMES)
            data = padded(name, 300, id_last=cut % 2 == 0)
            self.assertEqual(300, len(data))
            talk.say(data)
            talk.hear(cut)
            talk.hear(300 - cut)
            talk.answer(OK)
            talk.get(len(OK))
            wants.append(Want(name, path="/long", received=300, sent=len(OK), span=talk.span(-3)))
        self.check(*wants)
        self.end(talk)

    def sized(self, n, read, id_last=True):
        """A head of n bytes in reads of `read`; the row's Want."""
        talk, name = self.talk(), next(NAMES)
        data = padded(name, n, id_last)
        self.assertEqual(n, len(data))
        talk.say(data)
        for at in range(0, n, read):
            talk.hear(min(read, n - at))
        talk.answer(OK)
        talk.get(len(OK))
        self.end(talk)
        return Want(name, path="/long", received=n, sent=len(OK), span=talk.span())

    def test_sizes_at_the_copies_edges(self):
        """Heads around the sizes of the small and the large copy, in one read: their last field is seen."""
        for n in (511, 512, 513, 4095, 4096):
            with self.subTest(n=n):
                self.check(self.sized(n, n))

    def test_larger_than_one_copy(self):
        """4 KiB of a read are seen. An id behind that is not found in a head that came in one read: generated, cut."""
        losses = METER.stats(limit=0)["agent"]["losses"]["heads_cut"]
        self.check(self.sized(4097, 4097, id_last=False))
        want = self.sized(8192, 8192)
        ended, _ = self.rows.take(1)
        self.assertEqual(["generated"], [row["id_source"] for row in ended])
        self.assertEqual([], want.differences(ended[0]))
        self.assertEqual(losses + 2, METER.stats(limit=0)["agent"]["losses"]["heads_cut"])

    def test_large_heads_in_small_reads(self):
        """Up to 16 KiB all of a head is seen when it comes in reads of 4 KiB or less: ids at its very end count."""
        for n in (4097, 8192, 16281, HEAD_TOTAL):
            with self.subTest(n=n):
                self.check(self.sized(n, HEAD_COPY))

    def test_too_large_heads(self):
        """Beyond 16 KiB a head is cut, which is counted; what came before is used, bytes count to the end."""
        for n in (16896, 65536):
            with self.subTest(n=n):
                losses = METER.stats(limit=0)["agent"]["losses"]["heads_cut"]
                self.check(self.sized(n, HEAD_COPY, id_last=False))
                self.assertTrue(agent.poll_until(  # a report may be as old as the one before
                    lambda before=losses: METER.stats(limit=0)["agent"]["losses"]["heads_cut"] > before, 2))

    def test_after_a_cut_head(self):
        """A cut head does not hurt the next request on its connection."""
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        data = padded(names[0], 20000)[:-2] + b"\r\n"
        data = padded(names[0], 20000, id_last=False)
        talk.exchange(data, OK)
        talk.exchange(head(names[1]), OK)
        self.end(talk)
        self.check(Want(names[0], path="/long", received=20000, sent=len(OK)),
                   Want(names[1], received=len(head(names[1])), sent=len(OK)))

    # --- bodies ---

    def upload(self, data, body, reads, *fields):
        """A POST whose body is read in reads of the given sizes; its row."""
        talk, name = self.talk(), next(NAMES)
        top = head(name, "POST", "/up", *fields)
        talk.say(top + body)
        talk.hear(len(top) + data)
        for n in reads:
            talk.hear(n)
        talk.answer(OK)
        talk.get(len(OK))
        again = next(NAMES)
        talk.exchange(head(again), OK)
        self.end(talk)
        self.check(Want(name, "POST", "/up", received=len(top + body), sent=len(OK), span=talk.span(0, -3)),
                   Want(again, received=len(head(again)), sent=len(OK)))

    def test_body_with_the_head(self):
        """Head and body in one read; the body looks like a request and is none."""
        body = head("body")
        self.upload(len(body), body, (), "Content-Length: %d" % len(body))

    def test_body_longer_than_reads(self):
        """A body by Content-Length in several reads, each of which begins like a request."""
        body = b"GET / HTTP/1.1\r\n\r\n" * 2500
        self.upload(500, body, (14500, 15000, 15000), "Content-Length: %d" % len(body))

    def test_empty_body(self):
        """Content-Length: 0 is no body."""
        self.upload(0, b"", (), "Content-Length: 0")

    def test_chunked_request(self):
        """A chunked body, cut inside sizes, data and the last chunk."""
        body = chunk(b"GET / HTTP/1.1\r\n\r\n") + chunk(b"y" * 300) + b"0\r\nTrailer: x\r\n\r\n"
        self.upload(1, body, (5, 30, 100, len(body) - 139, 3), "Transfer-Encoding: chunked")

    def test_large_chunked_request(self):
        """A chunked body far beyond what is seen of it."""
        body = b"".join(chunk(b"POST / " + b"z" * 5000) for _ in range(10)) + LAST_CHUNK
        self.upload(0, body, (10000, 20000, len(body) - 30005, 5), "Transfer-Encoding: chunked")

    def test_get_with_a_body(self):
        """Odd, but framing is framing."""
        self.one(lambda name: head(name, "GET", "/", "Content-Length: 5") + b"hello", OK)

    def test_expect_continue(self):
        """
        100 Continue is an interim response: the row's status is the final one's, and the wait for the body is the
        request's. sent_bytes is of the response, so the interim one's are not in it.
        """
        talk, name = self.talk(), next(NAMES)
        data, interim = head(name, "POST", "/up", "Content-Length: 600", "Expect: 100-continue"), \
            b"HTTP/1.1 100 Continue\r\n\r\n"
        talk.say(data)
        talk.hear(len(data))
        talk.answer(interim)
        talk.get(len(interim))
        talk.say(b"G" * 600)
        talk.hear(300)
        talk.hear(300)
        talk.answer(OK)
        self.end(talk)
        self.check(Want(name, "POST", "/up", received=len(data) + 600, sent=len(OK), span=talk.span()))

    def test_early_response(self):
        """
        The response begins and ends before the body is read: one row, whose duration ends with the response's last
        byte. Reading on ends its attribution, so the body that is read behind it and thrown away is nobody's; and it is
        no request, though it looks like one.
        """
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        data = head(names[0], "POST", "/early", "Content-Length: 3000")
        answer = response(b"", "413 Too Large")
        talk.say(data + b"GET / HTTP/1.1\r\n" + b"x" * 2984)
        talk.hear(len(data))
        talk.answer(answer)
        talk.hear(1500)
        talk.hear(1500)
        talk.exchange(head(names[1]), OK)
        self.end(talk)
        self.check(Want(names[0], "POST", "/early", 413, received=len(data), sent=len(answer),
                        span=talk.span(0, 1)), Want(names[1], received=len(head(names[1])), sent=len(OK)))

    def test_response_around_the_body(self):
        """The response begins before the body is read and goes on after it: one row to the last byte."""
        talk, name = self.talk(), next(NAMES)
        data, answer = head(name, "POST", "/echo", "Content-Length: 1000"), response(b"e" * 1000)
        talk.say(data + b"E" * 1000)
        talk.hear(len(data))
        talk.answer(answer[:-1000])
        for _ in range(10):
            talk.hear(100)
            talk.answer(b"e" * 100)
        self.end(talk)
        self.check(Want(name, "POST", "/echo", received=len(data) + 1000, sent=len(answer), span=talk.span(),
                        confidence=None))

    # --- responses ---

    def test_head_method(self):
        """HEAD: the Content-Length is of a body that does not come."""
        self.one(lambda name: head(name, "HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", method="HEAD")

    def test_no_content(self):
        """204 has no body whatever it says."""
        self.one(head, b"HTTP/1.1 204 No Content\r\n\r\n", status=204)

    def test_not_modified(self):
        """304 has the length of what was not sent."""
        self.one(head, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", status=304)

    def test_early_hints(self):
        """
        103, then the final response in a write of its own, in the same write, and two interim ones. Status and bytes
        are the final response's, wherever in a write it begins; the duration ends with it.
        """
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        for parts in ((early, OK), (early + OK,), (early, early + OK), (early + early, OK)):
            with self.subTest(parts=parts):
                talk, name = self.talk(), next(NAMES)
                data = head(name)
                talk.say(data)
                talk.hear(len(data))
                for part in parts:
                    talk.answer(part)
                self.end(talk)
                self.check(Want(name, received=len(data), sent=len(OK), span=talk.span()))

    def test_response_in_pieces(self):
        """Head and body in several writes: the last one ends the request; what came between was its own."""
        talk, name = self.talk(), next(NAMES)
        data, answer = head(name), response(b"b" * 50000)
        talk.say(data)
        talk.hear(len(data))
        for at in range(0, len(answer), 10000):
            talk.answer(answer[at:at + 10000])
        talk.get(len(answer))
        self.check(Want(name, received=len(data), sent=len(answer), span=talk.span()))
        self.end(talk)

    def test_status_line_in_pieces(self):
        """
        A status line cut into single bytes. The kernel side looks at the first bytes of each write, so no status is
        seen: null, and completed because the server closed. The row's bytes and end are right all the same.
        """
        talk, name = self.talk(), next(NAMES)
        data = head(name)
        talk.say(data)
        talk.hear(len(data))
        for at in range(9):
            talk.answer(OK[at:at + 1])
        talk.answer(OK[9:])
        self.end(talk)
        self.check(Want(name, status=Want.NULL, received=len(data), sent=len(OK), span=talk.span()))

    def test_large_response_head(self):
        """A response head beyond the 512 bytes that are seen: status known, its end not; what follows ends it."""
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        answer = response(b"ok", "200 OK", *("X-%d: %s" % (i, "v" * 60) for i in range(20)))
        self.assertGreater(len(answer), 2 * RESPONSE_COPY)
        for name in names:
            talk.exchange(head(name), answer)
        self.end(talk)
        self.check(*(Want(name, received=len(head(name)), sent=len(answer)) for name in names))

    def test_chunked_response(self):
        """Ten chunks with pauses: one long request. It ends with the last chunk, and occupied covers the pauses."""
        talk, name = self.talk(), next(NAMES)
        data, top = head(name, "GET", "/stream"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        talk.say(data)
        talk.hear(len(data))
        talk.answer(top)
        parts = [chunk(b"part %d" % i) for i in range(10)]
        for part in parts:
            PUPPET.do("t63", "nap", 10)
            talk.answer(part)
        active = [row["id"] for row in self.rows.new()[1]]
        talk.answer(LAST_CHUNK)
        sent = len(top) + sum(map(len, parts)) + len(LAST_CHUNK)
        talk.get(sent)
        self.assertEqual([name], active)
        self.assertGreater(talk.span()[0], 100 * MS)
        self.check(Want(name, path="/stream", received=len(data), sent=sent, span=talk.span()))
        self.end(talk)

    def test_chunked_at_once(self):
        """A chunked response in one write."""
        self.one(head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 20) + LAST_CHUNK)

    def test_chunked_with_trailers(self):
        """Trailers behind the last chunk: the kernel side does not know that end, the next request does."""
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x") + b"0\r\nT: x\r\n\r\n"
        talk.exchange(head(names[0]), answer)
        talk.exchange(head(names[1]), OK)
        self.end(talk)
        self.check(Want(names[0], received=len(head(names[0])), sent=len(answer), span=talk.span(0, 1)),
                   Want(names[1], received=len(head(names[1])), sent=len(OK)))

    def test_until_close(self):
        """HTTP/1.0 without a length: the response ends with the connection, its duration with its last byte."""
        talk, name = self.talk(), next(NAMES)
        data, answer = head(name, version="1.0"), b"HTTP/1.0 200 OK\r\n\r\n"
        talk.say(data)
        talk.hear(len(data))
        talk.answer(answer)
        for _ in range(3):
            talk.answer(b"until close")
        self.assertTrue(agent.poll_until(lambda: [name] == [row["id"] for row in self.rows.new()[1]], 5), "not over before the close")
        self.end(talk)
        self.check(Want(name, received=len(data), sent=len(answer) + 33, span=talk.span()))

    def test_http10_keep_alive(self):
        """HTTP/1.0 with a length and keep-alive, twice."""
        talk, wants = self.talk(), []
        for _ in range(2):
            name = next(NAMES)
            data = head(name, "GET", "/", "Connection: keep-alive", version="1.0")
            answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
            talk.exchange(data, answer)
            wants.append(Want(name, received=len(data), sent=len(answer)))
        self.end(talk)
        self.check(*wants)

    def test_web_socket(self):
        """
        101: the connection speaks something else from there. One long request to the close, with all bytes both ways;
        frames that look like requests are none.
        """
        talk, name = self.talk(), next(NAMES)
        data = head(name, "GET", "/ws", "Upgrade: websocket", "Connection: Upgrade")
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        talk.exchange(data, answer)
        frames = [b"\x81\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\x82\x7e" + b"f" * 900, b"POST"]
        for frame in frames:
            talk.say(frame)
            talk.hear(len(frame))
            talk.answer(frame)
            talk.get(len(frame))
        self.assertTrue(agent.poll_until(lambda: [name] == [row["id"] for row in self.rows.new()[1]], 5), "it goes on until the close")
        moved = sum(map(len, frames))
        self.end(talk)
        self.check(Want(name, path="/ws", status=101, received=len(data) + moved, sent=len(answer) + moved,
                        span=talk.span(), confidence=None))

    def test_connect(self):
        """CONNECT with 200 is a tunnel: one long request."""
        talk, name = self.talk(), next(NAMES)
        data, answer = head(name, "CONNECT", "example.org:443"), b"HTTP/1.1 200 OK\r\n\r\n"
        talk.exchange(data, answer)
        talk.exchange(b"\x16\x03\x01hello", b"\x16\x03\x01world")
        self.end(talk)
        self.check(Want(name, "CONNECT", "example.org:443", received=len(data) + 8, sent=len(answer) + 8,
                        span=talk.span(), confidence=None))

    # --- ends that are not the plan ---

    def test_half_closed_client(self):
        """The client says that it will send no more, and waits: the answer completes the request as any other."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.half_close()
        talk.hear(len(head(name)))
        talk.answer(OK)
        talk.get(len(OK))
        talk.hear_end()
        self.end(talk)
        self.check(Want(name, received=len(head(name)), sent=len(OK), span=talk.span()))

    def test_half_close_read_first(self):
        """The same, and the server reads the end before it answers."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.half_close()
        talk.hear(len(head(name)))
        talk.hear_end()
        talk.answer(OK)
        talk.get(len(OK))
        self.end(talk)
        self.check(Want(name, received=len(head(name)), sent=len(OK), span=talk.span()))

    def test_half_close_until_close(self):
        """A half-closed client of an HTTP/1.0 server gets all it asked for: completed, not gone."""
        talk, name = self.talk(), next(NAMES)
        answer = b"HTTP/1.0 200 OK\r\n\r\nbody"
        talk.say(head(name, version="1.0"))
        talk.half_close()
        talk.hear(len(head(name)))
        talk.hear_end()
        talk.answer(answer)
        talk.get(len(answer))
        self.end(talk)
        self.check(Want(name, received=len(head(name)), sent=len(answer), span=talk.span()))

    def test_reset_mid_response(self):
        """The client dies in the middle of the response: client-gone, with the status and the bytes so far."""
        talk, name = self.talk(), next(NAMES)
        answer = response(b"b" * 5000)
        talk.say(head(name))
        talk.hear(len(head(name)))
        talk.answer(answer[:1000])
        talk.hang_up(reset=True)
        PUPPET.do("t63", "gone", talk.fd)
        self.assertEqual(-1, talk.do("out", "send", talk.fd, data=b"b" * 4000 + b"c" * 100, may_fail=True).result)
        talk.close_server()
        self.check(Want(name, outcome="client-gone", received=len(head(name)), sent=1000, span=talk.span()))

    def test_reset_before_the_answer(self):
        """The client dies before any byte of an answer: client-gone, no status, nothing sent."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.hear(len(head(name)))
        talk.hang_up(reset=True)
        PUPPET.do("t63", "gone", talk.fd)
        talk.do("out", "send", talk.fd, data=OK, may_fail=True)
        talk.close_server()
        self.check(Want(name, status=Want.NULL, outcome="client-gone", received=len(head(name)), sent=0))

    def test_reset_after_the_answer(self):
        """The client dies after all of the response was written: it completed, as far as a server can know."""
        talk, name = self.talk(), next(NAMES)
        talk.exchange(head(name), OK)
        talk.hang_up(reset=True)
        PUPPET.do("t63", "gone", talk.fd)
        talk.close_server()
        self.check(Want(name, received=len(head(name)), sent=len(OK), span=talk.span()))

    def test_client_closes_before_the_answer(self):
        """The client closes; the server reads the end and gives up: client-gone."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.hear(len(head(name)))
        talk.hang_up()
        talk.hear_end()
        talk.close_server()
        self.check(Want(name, status=Want.NULL, outcome="client-gone", received=len(head(name)), sent=0))

    def test_client_closes_in_its_head(self):
        """The client closes within its head: no request was made, so there is no row."""
        talk, name = self.talk(), next(NAMES)
        part = head(name)[:-2]
        talk.say(part)
        talk.hear(len(part))
        talk.hang_up()
        talk.hear_end()
        talk.close_server()
        self.check()

    def test_client_closes_in_its_body(self):
        """The client closes within its body and is told so: 400 is a response; without one it is client-gone."""
        for answer, status, outcome in ((response(b"", "400 Bad Request"), 400, "completed"),
                                        (b"", Want.NULL, "client-gone")):
            with self.subTest(status=status):
                talk, name = self.talk(), next(NAMES)
                data = head(name, "POST", "/", "Content-Length: 100") + b"x" * 50
                talk.say(data)
                talk.half_close()
                talk.hear(len(data))
                talk.hear_end()
                if answer:
                    talk.answer(answer)
                self.end(talk)
                self.check(Want(name, "POST", status=status, outcome=outcome, received=len(data), sent=len(answer)))

    def test_server_closes_without_an_answer(self):
        """The server closes: the request is over with a null status. Nobody is gone or dead: unanswered."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.hear(len(head(name)))
        self.end(talk)
        self.check(Want(name, status=Want.NULL, received=len(head(name)), sent=0, outcome="unanswered"))

    def test_server_cuts_its_response(self):
        """The server closes before the length that it announced: its doing, so not client-gone."""
        talk, name = self.talk(), next(NAMES)
        talk.say(head(name))
        talk.hear(len(head(name)))
        talk.answer(response(b"b" * 100)[:-50])
        self.end(talk)
        self.check(Want(name, received=len(head(name)), sent=len(response(b"b" * 100)) - 50, span=talk.span()))

    def test_unanswered_behind_answered(self):
        """Two pipelined, the server answers one and closes: the second has no status."""
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        data = [head(name) for name in names]
        talk.say(data[0] + data[1])
        talk.hear(len(data[0] + data[1]))
        talk.answer(OK)
        self.end(talk)
        self.check(Want(names[0], received=len(data[0]), sent=len(OK), confidence="boundary"),
                   Want(names[1], status=Want.NULL, received=len(data[1]), sent=0, confidence="boundary",
                        outcome="unanswered"))

    # --- heads that are odd, but legal ---

    def odd(self, text, **want):
        """One request of this text (%s: its id)."""
        self.one(lambda name: text.replace("%s", name).encode("latin-1"), OK, **want)

    def test_absolute_uri(self):
        """The path is what follows the authority; the query is never kept."""
        self.odd("GET http://example.org:80/a/b?secret=1 HTTP/1.1\r\nHost: x\r\nX-Request-ID: %s\r\n\r\n", path="/a/b")

    def test_asterisk(self):
        """OPTIONS *."""
        self.odd("OPTIONS * HTTP/1.1\r\nX-Request-ID: %s\r\n\r\n", method="OPTIONS", path="*")

    def test_lower_case(self):
        """Header names have any case and any blanks behind the colon."""
        self.odd("GET /low HTTP/1.1\r\nhost:x\r\nx-rEQUEST-id:\t %s \t\r\n\r\n", path="/low")

    def test_leading_empty_lines(self):
        """Empty lines before the request line belong to nobody: some clients end a body with one."""
        line = "GET /lead HTTP/1.1\r\nX-Request-ID: %s\r\n\r\n"
        for empty in ("\r\n", "\r\n\r\n"):
            name = next(NAMES)
            self.odd(empty + line.replace("%s", name), id=name, path="/lead", received=len(line.replace("%s", name)))

    def test_leading_empty_line_alone(self):
        """The empty line comes in a read of its own, behind a request that was answered."""
        talk, names = self.talk(), [next(NAMES), next(NAMES)]
        talk.exchange(head(names[0]), OK)
        talk.say(b"\r\n" + head(names[1]))
        talk.hear(2)
        talk.hear(len(head(names[1])))
        talk.answer(OK)
        self.end(talk)
        self.check(*(Want(name, received=len(head(name)), sent=len(OK), confidence=None) for name in names))

    def test_tabs_and_blanks(self):
        """Tabs and several blanks between the words."""
        self.odd("GET\t/tab  HTTP/1.1 \r\nX-Request-ID: %s\r\n\r\n", path="/tab")

    def test_line_feeds(self):
        """LF alone ends lines."""
        self.odd("GET /lf HTTP/1.1\nHost: x\nX-Request-ID: %s\n\n", path="/lf")

    def test_line_feeds_in_pieces(self):
        """LF alone, in reads of a few bytes, twice on a connection."""
        talk, wants = self.talk(), []
        for _ in range(2):
            name = next(NAMES)
            data = ("GET /lf HTTP/1.1\nX-Request-ID: %s\n\n" % name).encode()
            talk.say(data)
            for at in range(0, len(data), 7):
                talk.hear(min(7, len(data) - at))
            talk.answer(OK)
            talk.get(len(OK))
            wants.append(Want(name, path="/lf", received=len(data), sent=len(OK)))
        self.end(talk)
        self.check(*wants)

    def test_folded_field(self):
        """A folded id is one value; obsolete, but seen."""
        self.odd("GET /fold HTTP/1.1\r\nX: a\r\n b\r\nX-Request-ID: %s\r\n\r\n", path="/fold")

    def test_long_method(self):
        """Any token is a method."""
        self.odd("BASELINE-CONTROL /m HTTP/1.1\r\nX-Request-ID: %s\r\n\r\n", method="BASELINE-CONTROL", path="/m")

    def test_query_is_not_kept(self):
        """Neither query nor fragment."""
        self.odd("GET /q?token=secret#f HTTP/1.1\r\nX-Request-ID: %s\r\n\r\n", path="/q")

    def test_long_path(self):
        """Paths are cut at 256 bytes."""
        self.odd("GET /" + "p" * 1000 + " HTTP/1.1\r\nX-Request-ID: %s\r\n\r\n", path="/" + "p" * 255)


class ThreadShapes(Shapes, unittest.TestCase):
    """A thread for each connection, and one that accepts."""

    style = "thread"


class LoopShapes(Shapes, unittest.TestCase):
    """One thread and its epoll loop for all."""

    style = "loop"

    def test_interleaved(self):
        """
        Two connections on one loop at once: the right rows with the right bytes, and between the socket's edges the
        work may be either's: boundary.
        """
        talks, names = [self.talk(), self.talk()], [next(NAMES), next(NAMES)]
        for talk, name in zip(talks, names):
            talk.say(head(name))
        for talk, name in zip(talks, names):
            talk.hear(len(head(name)))
        for talk in reversed(talks):
            talk.answer(OK)
            talk.get(len(OK))
        self.check(*(Want(name, received=len(head(name)), sent=len(OK), span=talk.span(), confidence="boundary")
                     for talk, name in zip(talks, names)))
        for talk in talks:
            self.end(talk)

    def test_interleaved_streams(self):
        """Two chunked responses turn by turn on one loop; each to its own end."""
        talks, names = [self.talk(), self.talk()], [next(NAMES), next(NAMES)]
        top = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for talk, name in zip(talks, names):
            talk.say(head(name))
            talk.hear(len(head(name)))
            talk.answer(top)
        for number in range(5):
            for talk in talks:
                talk.answer(chunk(b"%d" % number))
        for talk in talks:
            talk.answer(LAST_CHUNK)
        self.check(*(Want(name, received=len(head(name)), sent=len(top) + 5 * 6 + 5, span=talk.span(),
                          confidence="boundary") for talk, name in zip(talks, names)))
        for talk in talks:
            self.end(talk)


class UnixShapes(Shapes, unittest.TestCase):
    """A thread for each connection of a Unix socket, of whose end the kernel tells less."""

    style, family = "thread", "unix"


class OtherSockets(unittest.TestCase):
    """Closing is another matter where the kernel does not tell of it."""

    def test_everything_is_consumed(self):
        """No row of the puppet's is left in flight when all connections are closed."""
        rows = Rows(METER, PUPPET.pid)
        self.assertTrue(agent.poll_until(lambda: not rows.new()[1], 5, 0.1),
                        [row["id"] for row in rows.new()[1]][:5])


if __name__ == "__main__":
    unittest.main()
