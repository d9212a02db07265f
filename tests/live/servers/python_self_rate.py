# SPDX-License-Identifier: MIT
"""A request that asks for itself so many times a second, from four threads. Prints how often it got no answer.

usage: python_self_rate.py PER-SECOND SECONDS
"""
import json
import sys
import threading
import time

from reqmeter import RequestState, ResourceMonitor

THREADS = 4
PER_SECOND, SECONDS = map(int, sys.argv[1:])
MONITOR = ResourceMonitor()
ROWS = []


def ask():
    """At a steady rate."""
    with RequestState(request_id="rate") as state:
        due = time.monotonic()
        end = due + SECONDS
        while due < end:
            ROWS.append(MONITOR.collect_resources_info(state)["request"] is not None)
            due += THREADS / PER_SECOND
            time.sleep(max(0, due - time.monotonic()))


BEGUN = time.monotonic()
ASKERS = [threading.Thread(target=ask) for _ in range(THREADS)]
for asker in ASKERS:
    asker.start()
for asker in ASKERS:
    asker.join()
json.dump({"asked": len(ROWS), "null": ROWS.count(False), "seconds": time.monotonic() - BEGUN}, sys.stdout)
