# SPDX-License-Identifier: MIT
"""Asking an agent over HTTP, on a Unix socket or TCP, within a time that holds whatever the other side does."""
import errno
import functools
import ipaddress
import json
import logging
import math
import os
import socket
import threading
import time
import urllib.parse

from reqmeter._context import native

DEFAULT_AGENTS = ("unix:/run/reqmeter/agent.sock", "http://127.0.0.1:9790")
DEFAULT_TIMEOUT_MS = 100
ANSWER_MAX = 2 << 20  # bytes; a report of 4,096 processes is a third of that, and reading it has to be quick
TOKEN_MAX = 4096
# How long no call waits for an agent that was silent: each attempt would slow a request by the whole timeout.
PAUSE_SECONDS = 5.0
NAME_KEPT_SECONDS = 60.0
_log = logging.getLogger("reqmeter")


class AgentError(Exception):
    """No usable answer from the agent."""


def timeout_seconds():
    """REQMETER_TIMEOUT_MS in seconds; the default when it is not a positive number."""
    try:
        value = float(os.environ.get("REQMETER_TIMEOUT_MS", DEFAULT_TIMEOUT_MS))
    except ValueError:
        value = 0
    return (value if 0 < value < 1e6 else DEFAULT_TIMEOUT_MS) / 1000


def parse_address(text):
    """("unix", path) or (host, port) of unix:PATH or http://HOST:PORT. Raises ValueError."""
    if text.startswith("unix:"):
        path = text[len("unix:"):]
        if not path:
            raise ValueError("%r names no socket" % text)
        return "unix", path
    url = urllib.parse.urlsplit(text)
    if url.scheme != "http" or not url.hostname or url.path not in ("", "/"):
        raise ValueError("%r is neither unix:PATH nor http://HOST:PORT" % text)
    return url.hostname, url.port or 9790


@functools.lru_cache(maxsize=16)
def _as_ip(host):
    """The address that a text is, or None: it is a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


class _Names:
    """Addresses of host names. Looking one up may take longer than any timeout here, so a thread of its own does."""

    def __init__(self):
        self._known = {}  # name: (address or None, until)
        self._lock = threading.Lock()

    def address(self, host, deadline):
        """The address as text. Raises AgentError if it is not known in time."""
        if ip := _as_ip(host):
            return ip
        with self._lock:
            address, until, done = self._known.get(host, (None, 0, None))
            if time.monotonic() >= until and (done is None or done.is_set()):
                done = threading.Event()
                self._known[host] = (address, until, done)
                threading.Thread(target=self._look_up, args=(host, done), daemon=True).start()
        if address is None:
            done.wait(max(0, deadline - time.monotonic()))
            address = self._known[host][0]
        if address is None:
            raise AgentError("no address for %s" % host)
        return address

    def _look_up(self, host, done):
        try:
            address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
        except (OSError, UnicodeError):
            address = None
        self._known[host] = (address, time.monotonic() + NAME_KEPT_SECONDS, done)
        done.set()


_names = _Names()


def _after_fork():
    global _names
    _names = _Names()


os.register_at_fork(after_in_child=_after_fork)


def _connect(address, deadline):
    kind, where = address
    if kind == "unix":
        sock, target = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), where
    else:
        host = _names.address(kind, deadline)
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        target = (host, where)
    try:
        _set_timeout(sock, deadline)
        sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_timeout(sock, deadline):
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the agent was too slow")
    sock.settimeout(left)


def _receive_all(sock, deadline):
    """What comes until the other side closes or has sent what it announced."""
    data, whole = bytearray(), None
    while whole is None or len(data) < whole:
        _set_timeout(sock, deadline)
        part = sock.recv(1 << 16)
        if not part:
            break
        data += part
        if whole is None:
            whole = _announced(data)
        if len(data) > ANSWER_MAX or (whole or 0) > ANSWER_MAX:
            raise AgentError("the answer is too long")
    if whole is not None and len(data) < whole:
        raise AgentError("the answer was cut off")
    return bytes(data)


def _announced(data):
    """Length of head and body together by Content-Length; None while it is not known."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    for line in bytes(data[:end]).split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return end + 4 + int(value)
    return None


def _no_constant(name):
    raise ValueError("%s is not JSON" % name)


def _finite(text):
    """1e999 is valid JSON, and what Python makes of it is not."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("%s is too great" % text)
    return number


def _parse_answer(data):
    head, separator, body = data.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if not separator or len(status) < 2 or not status[0].startswith(b"HTTP/1."):
        raise AgentError("the answer is not HTTP")
    if status[1] != b"200":
        raise AgentError("the agent answered %s" % status[1][:16].decode("latin-1"))
    try:
        report = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise AgentError("the answer is not JSON: %s" % error) from None
    if not isinstance(report, dict):
        raise AgentError("the answer is not a report")
    return report


def _token_line():
    path = os.environ.get("REQMETER_TOKEN_FILE")
    if not path:
        return ""
    # Not blocking: a path that is a pipe must not hold a request.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        token = os.read(fd, TOKEN_MAX).decode("ascii").strip()
    finally:
        os.close(fd)
    if not token.isprintable() or " " in token:
        raise AgentError("no token in %s" % path)
    return "Authorization: Bearer %s\r\n" % token


class Budget:
    """What is left of the time that an answer may take, in seconds: of all questions that one call asks together."""

    def __init__(self):
        self.left = timeout_seconds()


def _exchange_python(address, question, budget):
    """What the agent answers; any address."""
    begun = time.monotonic()
    deadline = begun + budget.left
    try:
        with _connect(address, deadline) as sock:
            _set_timeout(sock, deadline)
            sock.sendall(question)
            return _receive_all(sock, deadline)
    finally:
        budget.left -= time.monotonic() - begun


def _exchange_native(address, question, budget):
    """The same without the GIL, so that only the agent's time is counted: others may hold that for as long."""
    host, where = address
    if host != "unix":
        begun = time.monotonic()
        host = _names.address(host, begun + budget.left)
        budget.left -= time.monotonic() - begun if host != address[0] else 0
    if budget.left <= 0:
        raise TimeoutError("the agent was too slow")
    code, spent_ns, answer = native.ask(host, where, question, int(budget.left * 1e9), ANSWER_MAX)
    budget.left -= spent_ns / 1e9
    if code == errno.ETIMEDOUT:
        raise TimeoutError("the agent was too slow")
    if code:
        raise OSError(code, os.strerror(code))
    return answer


_exchange = _exchange_native if native else _exchange_python


@functools.lru_cache(maxsize=16)
def _host_of_ip(ip, port):
    return ("[%s]:%d" if ":" in ip else "%s:%d") % (ip, port)


def _host(address, budget):
    """The Host header. The name that was given need not be one that an agent accepts; its address is."""
    kind, port = address
    if kind == "unix":
        return "localhost"
    return _host_of_ip(_names.address(kind, time.monotonic() + budget.left), port)


def fetch(address, target, budget):
    """The answer of one agent as a dict. target: path and query. Raises AgentError, OSError or ValueError."""
    # HTTP/1.0: the answer is not chunked and ends with the connection. In these two lines, the agent answers at once.
    question = "GET %s HTTP/1.0\r\nHost: %s\r\n%s\r\n" % (target, _host(address, budget), _token_line())
    return _parse_answer(_exchange(address, question.encode("ascii"), budget))


def _addresses_of_environment():
    given = os.environ.get("REQMETER_AGENT")
    try:
        return [parse_address(text) for text in ((given,) if given else DEFAULT_AGENTS)]
    except ValueError as error:
        # A mistake in the environment must not stop the program.
        _log.warning("REQMETER_AGENT: %s; no agent is asked", error)
        return []


class Agent:
    """The agent that a program's environment names. Any thread; ask() takes the timeout at most."""

    def __init__(self, address=None):
        """address: unix:PATH or http://HOST:PORT; else REQMETER_AGENT, else the defaults. ValueError: a wrong one."""
        self.addresses = [parse_address(address)] if address else _addresses_of_environment()
        self._silent_until = 0.0
        self._may_be_late = False

    def ask_stats(self, query, budget):
        """The report, or None when no agent answers usably in time."""
        return self._ask("/stats/?" + urllib.parse.urlencode(query, safe=":/,"), budget)

    def ask_request(self, handle, table, budget):
        """What the agent knows now of the request that asks, by its number here; or None."""
        return self._ask("/request/?handle=%d&table=%d" % (handle, table), budget)

    def _ask(self, target, budget):
        if time.monotonic() < self._silent_until:
            return None
        for address in self.addresses:
            try:
                answer = fetch(address, target, budget)
                self._may_be_late = True
                return answer
            except (OSError, AgentError, ValueError) as error:
                if isinstance(error, TimeoutError) or budget.left <= 0:
                    # One that has answered the question before was late, on a busy machine; twice in turn, it is silent.
                    if not self._may_be_late:
                        self._silent_until = time.monotonic() + PAUSE_SECONDS
                    self._may_be_late = False
                    break
        return None
