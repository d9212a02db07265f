# SPDX-License-Identifier: MIT
"""Real servers as they come: each request has one right row in each process that served it; Apache's CPU is true.

Every server gets the same loads: 1, 4 and 16 clients, with connections that are kept and with one a request.
"""
import collections
import contextlib
import random
import resource
import time
import unittest

import accuracy
import agent
import compare
import daemons
import fixtures
import load
from load import Request
from servers import apache, lighttpd, loops, nginx, php

LOADS = [(clients, keep) for clients in (1, 4, 16) for keep in (True, False)]
REQUESTS = 50  # in each load
N_CONNECTIONS = 1000
TRUTH_LOADS = {1: 100, 4: 200, 16: 300}
SHARE = 0.99
METER = None

FILES = [Request("GET", "/" + name, b"") for name in ("small", "middle", "none")]


def setUpModule():
    """One agent for all servers."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent()


def tearDownModule():
    """Ends the agent."""
    METER.stop()


def burns(prefix="", low=100, high=3000):
    """Some requests that use CPU, and one that is not found."""
    return [Request("GET", prefix + "/burn?us=%d" % us, b"") for us in (low, 2 * low, high)] + [
        Request("GET", prefix + "/none", b"")]


class Ask:
    """What was asked of a server, and how: joins answers to rows by id."""

    def __init__(self, server, kinds):
        self.server, self.kinds = server, kinds
        self.requests, self.results, self.clients = {}, {}, {}
        self.n_connections = 0

    def run(self, clients, keep, n=REQUESTS):
        """One load; each request is chosen from the kinds."""
        plan = random.Random(clients).choices(self.kinds, k=n)
        prefix = load.unique_prefix()
        results, opened = daemons.run_load(self.server.endpoint, plan, clients, keep_alive=keep, prefix=prefix)
        self.n_connections += opened
        for result in results:
            self.results[result.id] = result
            self.requests[result.id] = plan[int(result.id.rpartition("-")[2])]
            self.clients[result.id] = clients
        return self

    def run_all(self):
        """Every load."""
        for clients, keep in LOADS:
            self.run(clients, keep)
        return self


def wrong_fields(row, wanted):
    """Words for each field of a row that is not as wanted; a set is a choice."""
    got = dict(row, confidence=row["attribution"]["confidence"])
    return ["%s %r" % (name, got[name]) for name, want in wanted.items()
            if got[name] not in (want if isinstance(want, set) else {want})]


# Of a row that is not as it should be.
FIGURES = ("cpu_ns", "runqueue_ns", "blocked_ns", "unattended_ns", "duration_ns", "voluntary_switches", "n_threads")


class Servers(unittest.TestCase):
    """Rows of every server."""

    def start(self, cls, *args, **options):
        """A running server that is stopped with the test."""
        if cls.missing():
            self.skipTest(cls.missing())
        server = cls(*args, **options)
        self.addCleanup(server.__exit__)
        return server

    def check_none(self, what, found):
        """Fails with the first few of what should not be there."""
        self.assertFalse(found, "%d %s: %s" % (len(found), what, found[:6]))

    def check_rows(self, ask, rows, strip="", confidence=None):
        """One row for each request, as it was asked and answered; and none but these.

        strip: what a proxy took from the path. confidence: function of (clients, request) to the allowed words.
        """
        by_id = collections.defaultdict(list)
        for row in rows:
            if row["id"] != "probe":
                by_id[row["id"]].append(row)
        found = {name: by_id.pop(name, []) for name in ask.results}
        self.check_none("not answered", [name for name, result in ask.results.items() if result.status is None])
        self.check_none("requests without a row", [name for name, rows in found.items() if not rows])
        self.check_none("requests with several rows", [name for name, rows in found.items() if len(rows) > 1])
        self.check_none("rows of nobody", [(row["id"], row["path"]) for rows in by_id.values() for row in rows])
        wrong, unsure = [], []
        for name, (row,) in found.items():
            wanted = self.wanted(ask, name, strip, confidence or (lambda *_: "exact"))
            if went_on(row, ask.results[name]):
                wanted["confidence"] = {"exact", "boundary"}
            if words := wrong_fields(row, wanted):
                less = words == ["confidence 'boundary'"] and wanted["confidence"] == "exact"
                figures = {field: row[field] for field in FIGURES}
                (unsure if less else wrong).append((name, ask.requests[name].path, ask.clients[name], *words, figures))
        self.check_none("wrong rows", wrong)
        # An interrupt or the machine's host may take more from a thread between two waits than a row may keep quiet about.
        accuracy.at_most(len(unsure) / max(1, len(found)), 1 - SHARE, "share of rows less sure than they should be", unsure[:6])
        return collections.Counter(row["attribution"]["confidence"] for (row,) in found.values())

    @staticmethod
    def wanted(ask, name, strip, confidence):
        """What the row of a request must say."""
        request = ask.requests[name]
        path = request.path.partition("?")[0]
        return {"method": request.method, "path": path.removeprefix(strip), "status": ask.results[name].status,
                "outcome": "completed", "id_source": "x-request-id",
                "confidence": confidence(ask.clients[name], request)}

    def check_server(self, server, kinds, **options):
        """All loads against one server; prints how sure its rows are, and what its connections spoke."""
        before = self.probes(server)
        ask = Ask(server, kinds).run_all()
        rows = daemons.settled(METER, "pid:%d" % server.pid, set(ask.results))
        sure = self.check_rows(ask, rows, **options)
        print("%s: %d rows (%s), %d connections" % (self._testMethodName[5:], len(ask.results), ", ".join(
            "%d %s" % (n, word) for word, n in sure.items()), ask.n_connections), flush=True)
        self.check_connections(server, {"http1": before + ask.n_connections})
        return ask

    def probes(self, server):
        """HTTP connections of a server that was found ready and asked nothing else.

        A report may be older than that look at it: the row of the probe that was answered says that all are counted.
        """
        scope = "pid:%d" % server.pid
        self.assertTrue(agent.poll_until(lambda: [row for row in METER.rows(scope=scope) if row["id"] == "probe" and
                                                  row["status"] == 200], 10), "no row of the probe that was answered")
        return daemons.connections(METER, server.pid)["http1"]

    def check_connections(self, server, wanted):
        """processes[].connections, summed over the server's processes; a report may be 250 ms old."""
        def look():
            found = daemons.connections(METER, server.pid)
            return found if {key: found[key] for key in wanted} == wanted else None

        if not agent.poll_until(look, 3, 0.1):
            self.fail("connections %s, not %s" % (daemons.connections(METER, server.pid), wanted))

    # Event loops that serve a request at one go.

    @accuracy.twice
    def test_nginx_static(self):
        """nginx, files: two workers, each an event loop."""
        self.check_server(self.start(nginx.Nginx, workers=2), FILES)

    @accuracy.twice
    def test_nginx_large_file(self):
        """A file that does not fit into the socket: the loop serves others between its parts."""
        self.check_server(self.start(nginx.Nginx), [Request("GET", "/large", b""), *FILES], confidence=sure_alone)

    @accuracy.twice
    def test_lighttpd_static(self):
        """lighttpd, files."""
        self.check_server(self.start(lighttpd.Lighttpd), FILES)

    @accuracy.twice
    def test_node_burn(self):
        """Node: handlers that do all at once."""
        self.check_server(self.start(loops.Node), [*burns(), Request("POST", "/echo", b"x" * 2000)],
                          confidence=sure_at_once)

    @accuracy.twice
    def test_node_timers(self):
        """Node: handlers that wait, while others are served."""
        kinds = [Request("GET", "/sleep?us=3000", b""), Request("GET", "/late?us=1000", b""), *burns()]
        self.check_server(self.start(loops.Node), kinds, confidence=sure_at_once)

    # Proxies: a row for each process.

    def check_proxy(self, back, keep):
        """nginx before a gunicorn: both have their rows under one id."""
        if reason := fixtures.missing_packages():
            self.skipTest(reason)
        behind = fixtures.Server(back, preload=False)
        self.addCleanup(behind.__exit__)
        front = self.start(nginx.Nginx, back=behind.endpoint, keep=keep)
        ask = self.check_server(front, burns("/back"), confidence=lambda *_: {"exact", "boundary"})
        rows = daemons.settled(METER, "pid:%d" % behind.pid, set(ask.results))
        self.check_rows(ask, rows, strip="/back")
        self.check_spans(ask, rows)

    def check_spans(self, ask, back_rows):
        """Rows of the back end lie within those of the front; the front waited while the back worked."""
        back = {row["id"]: row for row in back_rows}
        front = [row for row in daemons.settled(METER, "pid:%d" % ask.server.pid, set()) if row["id"] in ask.results]
        self.check_none("shorter in front", [
            (row["id"], row["duration_ns"], back[row["id"]]["duration_ns"]) for row in front
            if row["duration_ns"] + 10**6 < back[row["id"]]["duration_ns"]])

    @accuracy.twice
    def test_nginx_before_gunicorn(self):
        """A connection to the back end for each request."""
        self.check_proxy("gunicorn-sync", 0)

    @accuracy.twice
    def test_nginx_before_gunicorn_kept(self):
        """Connections to the back end that are kept and shared."""
        self.check_proxy("gunicorn-gthread", 8)

    @accuracy.twice
    def test_node_before_gunicorn(self):
        """Node's own requests to a back end carry ids of their own."""
        if reason := fixtures.missing_packages():
            self.skipTest(reason)
        behind = fixtures.Server("gunicorn-sync", preload=False)
        self.addCleanup(behind.__exit__)
        url = "http://%s:%d/burn?us=300" % behind.endpoint
        front = self.start(loops.Node, upstream=url)
        ask = self.check_server(front, [Request("GET", "/upstream", b"")], confidence=lambda *_: {"exact", "boundary"})
        wanted = {"up-" + name for name in ask.results}
        rows = [row for row in daemons.settled(METER, "pid:%d" % behind.pid, wanted) if row["id"] != "probe"]
        self.assertEqual(sorted(wanted), sorted(row["id"] for row in rows))
        self.check_none("not as served", [words for row in rows if (words := wrong_fields(row, {
            "path": "/burn", "status": 200, "outcome": "completed", "confidence": "exact"}))])

    @accuracy.twice
    def test_php_fpm(self):
        """FastCGI is no HTTP: the front has the row, PHP-FPM has connections of another kind."""
        pool = self.start(php.PhpFpm)
        front = self.start(nginx.NginxPhp, pool)
        ask = self.check_server(front, burns("/back"), confidence=lambda *_: {"exact", "boundary"})
        rows = METER.rows(scope="pid:%d" % pool.pid)
        self.check_none("rows of FastCGI", [row["id"] for row in rows])
        self.check_connections(pool, {"http1": 0, "other": len(ask.results)})

    # Processes and threads.

    def check_apache(self, mpm, **options):
        """Files, Lua in the serving thread, bodies, CGI in other processes."""
        kinds = [*FILES, *burns(), Request("POST", "/echo", b"x" * 20000), Request("GET", "/cgi/app", b"")]
        self.check_server(self.start(apache.Apache, mpm), kinds, **options)

    @accuracy.twice
    def test_apache_prefork(self):
        """A process for each connection."""
        self.check_apache("prefork", confidence=boundary_if_forked)

    @accuracy.twice
    def test_apache_worker(self):
        """A thread for each connection, which another accepted."""
        self.check_apache("worker")

    @accuracy.twice
    def test_apache_event(self):
        """Threads for requests, a loop for kept connections."""
        self.check_apache("event")

    @accuracy.twice
    def test_acceptor_and_loops(self):
        """C: one thread accepts, three loops serve."""
        self.check_server(self.start(loops.Epoll, "--acceptor", "3"), burns())

    @accuracy.twice
    def test_loop_and_workers(self):
        """C: a loop reads, workers work and write. Two threads for one request: never exact."""
        self.check_server(self.start(loops.Epoll, "--workers", "3"), burns(), confidence=boundary_if_burned)

    @accuracy.twice
    def test_loop_and_workers_hand_back(self):
        """C: a loop reads and writes, workers work."""
        self.check_server(self.start(loops.Epoll, "--handback", "3"), burns(),
                          confidence=lambda *_: {"exact", "boundary"})

    def test_thousand_connections(self):
        """C: a thousand kept connections on one thread, all of which ask at once, twice."""
        server = self.start(loops.Epoll)
        before = self.probes(server)
        with contextlib.ExitStack() as stack:
            raise_file_limit(2 * N_CONNECTIONS + 200)
            socks = [stack.enter_context(load.connect(server.endpoint)) for _ in range(N_CONNECTIONS)]
            ask = Ask(server, [])
            for turn in range(2):
                ask_all(ask, socks, turn)
            rows = daemons.settled(METER, "pid:%d" % server.pid, set(ask.results), 20)
            sure = self.check_rows(ask, rows, confidence=lambda *_: {"exact", "boundary"})
            self.check_connections(server, {"http1": before + N_CONNECTIONS})
        print("thousand_connections: %d rows (%s)" % (len(ask.results), dict(sure)), flush=True)


def sure_alone(clients, _):
    """A loop with one client serves nothing else meanwhile."""
    return "exact" if clients == 1 else {"exact", "boundary"}


def sure_at_once(clients, request):
    """What a handler does at one go is sure; work that a timer calls may have been for others."""
    if clients > 1 or request.path.startswith("/sleep"):
        return {"exact", "boundary"}
    return "boundary" if request.path.startswith("/late") else "exact"


def went_on(row, result):
    """Its loop was so late that the timer was due at once: nothing is left out of its row as a wait of the loop's, and the
    row holds all of the handler's work."""
    return (result.path.startswith("/late") and row["unattended_ns"] == 0
            and row["cpu_ns"] + row["stolen_ns"] >= result.handler_cpu_ns)


def boundary_if_burned(_, request):
    """Two threads worked for what went through a worker's hands, and the second is known by its answer alone."""
    return {"boundary", "inherited"} if request.path.startswith("/burn") else {"exact", "boundary", "inherited"}


def boundary_if_forked(_, request):
    """What a child process does for a request is not in its row."""
    return "boundary" if request.path.startswith("/cgi") else "exact"


def raise_file_limit(n):
    """Lets this process open n files, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(n, hard) if hard != resource.RLIM_INFINITY else n, hard))


def ask_all(ask, socks, turn):
    """Sends a request on every connection, then reads every answer."""
    prefix = load.unique_prefix()
    for number, sock in enumerate(socks):
        request = Request("GET", "/burn?us=50" if number % 2 else "/slices?us=60&n=3", b"")
        name = "%s-%05d" % (prefix, number)
        ask.requests[name], ask.clients[name] = request, len(socks)
        sock.sendall(load.head(request, name, True))
    for name, sock in zip(list(ask.requests)[turn * len(socks):], socks):
        status, _, _ = load.read_answer(sock)
        ask.results[name] = load.Result(name, ask.requests[name].path, status, None, 0, time.monotonic_ns())


class ApacheTruth(unittest.TestCase):
    """Apache's rows against the truth that a preload measured inside it."""

    def check_truth(self, mpm, keep):
        """CPU and closing time of 99 % of the rows, as for the servers of test_truth.py."""
        if apache.Apache.missing():
            self.skipTest(apache.Apache.missing())
        plans = {n: self.plan(count, n, keep) for n, count in TRUTH_LOADS.items()}
        with apache.Apache(mpm, keep=keep, preload=True) as server:
            loads = {n: daemons.run_load(server.endpoint, plan, n, keep_alive=keep)[0] for n, plan in plans.items()}
            rows = daemons.settled(METER, "pid:%d" % server.pid, {r.id for results in loads.values() for r in results})
            server.stop()
            truth = server.truth()
        for clients, results in loads.items():
            with self.subTest(clients=clients):
                self.check_load("apache-%s%s" % (mpm, "" if keep else "-close"), clients, results, truth, rows)

    @staticmethod
    def plan(n, seed, keep):
        """Mostly CPU in the serving thread, some files, bodies and CGI.

        Not CGI on a kept connection: Apache looks there for a next request before it writes the last chunk, which the
        library takes for the end.
        """
        rng = random.Random(seed)
        kinds = {
            "burn": lambda: Request("GET", "/burn?us=%d" % min(load.burn_us(rng), 30000), b""),
            "file": lambda: Request("GET", rng.choice(("/small", "/middle", "/large")), b""),
            "echo": lambda: Request("POST", "/echo", b"x" * rng.choice((10, 5000, 40000))),
            "cgi": lambda: Request("GET", "/cgi/app", b""),
        }
        return [kinds[name]() for name in rng.choices(list(kinds), [70, 15, 10, 0 if keep else 5], k=n)]

    def check_load(self, kind, clients, results, truth, rows):
        """The acceptance of one load."""
        pairs, strangers = compare.join(results, truth, rows)
        numbers = compare.figures(pairs)
        print(compare.summary(kind, clients, numbers), flush=True)
        served = collections.Counter(pair.truth["id"] for pair in pairs)
        for what, found in {
                "not answered": [result.id for result in results if result.status != 200],
                "not served once": [result.id for result in results if served[result.id] != 1],
                "requests without one row": [(pair.truth["id"], pair.twins) for pair in pairs if pair.twins != 1],
                "rows that nobody served": [(row["pid"], row["id"]) for row in strangers]}.items():
            self.assertFalse(found, "%d %s: %s" % (len(found), what, found[:6]))
        compare.judge("%s, %d clients" % (kind, clients), numbers, pairs)

    @accuracy.twice
    def test_prefork(self):
        """Processes, connections kept."""
        self.check_truth("prefork", True)

    @accuracy.twice
    def test_prefork_close(self):
        """Processes, a connection a request."""
        self.check_truth("prefork", False)

    @accuracy.twice
    def test_worker(self):
        """Threads, connections kept."""
        self.check_truth("worker", True)

    @accuracy.twice
    def test_worker_close(self):
        """Threads, a connection a request."""
        self.check_truth("worker", False)


if __name__ == "__main__":
    unittest.main()
