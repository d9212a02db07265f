# SPDX-License-Identifier: MIT
"""A bounded HTTP load on loopback with byte-exact control, standard library only.

Each request has an X-Request-ID of its own, so that rows, truth and answers can be joined.
"""
import collections
import itertools
import os
import random
import socket
import threading
import time

# status and handler_cpu_ns (nanoseconds, from X-Handler-CPU-Ns) are None when the connection broke; start and end are
# CLOCK_MONOTONIC ns around the request as the client saw it.
Result = collections.namedtuple("Result", "id path status handler_cpu_ns start_mono_ns end_mono_ns")
Request = collections.namedtuple("Request", "method path body")

# (share, microseconds from, to) of the CPU that /burn uses: 0.2 to 200 ms, about 3.5 ms on average. Long ones are few:
# they cost most of a load's time, and each is one row.
BURNS = ((0.60, 200, 1500), (0.32, 1500, 8000), (0.075, 8000, 30000), (0.005, 60000, 200000))
TIMEOUT_S = 60
RUNS = itertools.count()


def unique_prefix():
    """A prefix that no other run on this machine uses now."""
    return "t%d-%d" % (os.getpid(), next(RUNS))


def burn_us(rng):
    """A burn time in microseconds, by BURNS."""
    share, low, high = rng.choices(BURNS, [part[0] for part in BURNS])[0]
    return round(low * (high / low) ** rng.random())


def mixed_plan(n, seed=1):
    """n requests: 80 % burn, the rest sleep, file, mixed and echo. The same for the same (n, seed)."""
    rng = random.Random(seed)
    kinds = {
        "burn": lambda: Request("GET", "/burn?us=%d" % burn_us(rng), b""),
        "sleep": lambda: Request("GET", "/sleep?us=%d" % rng.randint(200, 10000), b""),
        "file": lambda: Request("GET", "/file?n=%d" % rng.choice((4, 64, 512)), b""),
        "mixed": lambda: Request("GET", "/mixed?us=%d" % rng.randint(200, 5000), b""),
        "echo": lambda: Request("POST", "/echo", b"x" * rng.choice((10, 5000, 40000))),
    }
    names = rng.choices(list(kinds), [80, 7, 5, 5, 3], k=n)
    return [kinds[name]() for name in names]


def connect(endpoint):
    """A connected stream socket. endpoint: ("unix", path) or (host, port)."""
    if endpoint[0] == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT_S)
        sock.connect(endpoint[1])
        return sock
    sock = socket.create_connection(endpoint, timeout=TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def head(request, request_id, keep_alive):
    """The bytes of a request's head and body."""
    lines = ["%s %s HTTP/1.1" % (request.method, request.path), "Host: localhost", "X-Request-ID: " + request_id]
    if request.body:
        lines.append("Content-Length: %d" % len(request.body))
    lines.append("Connection: " + ("keep-alive" if keep_alive else "close"))
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + request.body


def read_answer(sock):
    """(status, headers with lower-case names, body) of one answer. Raises ConnectionError if it is cut short."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(sock)
    top, body = data.split(b"\r\n\r\n", 1)
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    length = int(headers.get("content-length", 0))
    while len(body) < length:
        body += received(sock)
    return int(first.split()[1]), headers, body


def received(sock):
    """The next bytes; raises ConnectionError at the end of the stream."""
    data = sock.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data


class Client:
    """One client: a connection that is kept, or one per request."""

    def __init__(self, endpoint, keep_alive):
        self.endpoint = endpoint
        self.keep_alive = keep_alive
        self.sock = None

    def ask(self, request, request_id):
        """Sends one request and returns its Result; a broken connection gives status None."""
        start = time.monotonic_ns()
        try:
            self.sock = self.sock or connect(self.endpoint)
            self.sock.sendall(head(request, request_id, self.keep_alive))
            status, headers, _ = read_answer(self.sock)
        except OSError:
            status, headers = None, {"connection": "close"}
        end = time.monotonic_ns()
        old = headers.get("connection", "keep-alive").lower() == "close"
        if not self.keep_alive or old:
            self.close()
        cpu = headers.get("x-handler-cpu-ns")
        return Result(request_id, request.path, status, None if cpu is None else int(cpu), start, end)

    def close(self):
        """Closes the connection if there is one."""
        if self.sock:
            self.sock.close()
        self.sock = None


def run(endpoint, plan, clients=1, keep_alive=True, prefix=None):
    """Runs all requests of plan by `clients` concurrent clients; returns a list of Result in order of their end."""
    prefix = prefix or unique_prefix()
    todo = iter(list(enumerate(plan)))
    lock = threading.Lock()
    results = []

    def work():
        client = Client(endpoint, keep_alive)
        while True:
            with lock:
                number, request = next(todo, (None, None))
            if request is None:
                return client.close()
            results.append(client.ask(request, "%s-%05d" % (prefix, number)))

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def get(endpoint, path, request_id="probe"):
    """One GET on a new connection: its Result."""
    client = Client(endpoint, keep_alive=False)
    return client.ask(Request("GET", path, b""), request_id)
