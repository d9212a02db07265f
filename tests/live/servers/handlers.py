# SPDX-License-Identifier: MIT
"""What the routes of the Python test servers do, free of any framework.

Times are microseconds in queries and nanoseconds in answers; sizes in queries are KiB.
"""
import os
import tempfile
import threading
import time
import urllib.request

ROUTES = ("/burn", "/sleep", "/file", "/mixed", "/echo", "/upstream", "/health")


def burn(us):
    """Uses us microseconds of this thread's CPU (CLOCK_THREAD_CPUTIME_ID)."""
    end = time.thread_time_ns() + us * 1000
    while time.thread_time_ns() < end:
        pass
    return us


def sleep(us):
    """Sleeps us microseconds."""
    time.sleep(us / 1e6)
    return us


def data_file(kib):
    """Path of a file of kib KiB on disk, made at the first call."""
    path = os.path.join(tempfile.gettempdir(), "python-%d.data" % kib)
    if not os.path.exists(path):
        part = "%s.%d.%d" % (path, os.getpid(), threading.get_ident())
        with open(part, "wb") as out:
            out.write(b"reqmeter" * 128 * kib)
            out.flush()
            os.fsync(out.fileno())
        os.rename(part, path)
    return path


def read_file(kib):
    """Reads a file of kib KiB that is not in the page cache; returns its bytes."""
    total = 0
    with open(data_file(kib), "rb", buffering=0) as data:
        os.posix_fadvise(data.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while block := data.read(65536):
            total += len(block)
    return total


def mixed(us):
    """Half of us of CPU, a millisecond of sleep, 64 KiB from disk, the other half."""
    burn(us // 2)
    sleep(1000)
    total = read_file(64)
    burn(us // 2)
    return total


def upstream(request_id):
    """Asks the URL in UPSTREAM_URL with the id "up-" + request_id; returns the length of the answer."""
    request = urllib.request.Request(os.environ["UPSTREAM_URL"], headers={"X-Request-ID": "up-" + request_id})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return len(answer.read())


def handle(path, query, request_id, read_body):
    """Runs one route.

    query: function of (key) -> int, 0 when absent. read_body: function of () -> bytes, called by /echo only.
    Returns (status, {"value", "cpu_ns"}); cpu_ns is this thread's CPU inside the handler.
    """
    start = time.thread_time_ns()
    value, status = 0, 200
    if path == "/burn":
        value = burn(query("us"))
    elif path == "/sleep":
        value = sleep(query("us"))
    elif path == "/file":
        value = read_file(query("n"))
    elif path == "/mixed":
        value = mixed(query("us"))
    elif path == "/echo":
        value = len(read_body())
    elif path == "/upstream":
        value = upstream(request_id)
    elif path != "/health":
        status = 404
    return status, {"value": value, "cpu_ns": time.thread_time_ns() - start}
