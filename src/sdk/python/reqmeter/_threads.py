# SPDX-License-Identifier: MIT
"""Hand-over to other threads where Python copies no context: concurrent.futures' thread pools and threading.Thread.

asyncio's run_in_executor ends in the former; asyncio.to_thread and anyio carry the context themselves.
"""
import concurrent.futures
import functools
import threading

_local = threading.local()


def _is_pool_worker(thread):
    """Whether the thread serves many requests in turn; then it does not belong to the one that started it."""
    return getattr(_local, "submitting", False) or type(thread).__module__.startswith("anyio.")


def install(working_for, carried):
    """Wraps ThreadPoolExecutor.submit and Thread.start. To be called once.

    working_for() gives the request of the calling code or None; carried(request, function, …) calls for it.
    """
    submit = concurrent.futures.ThreadPoolExecutor.submit
    start = threading.Thread.start

    @functools.wraps(submit)
    def submit_for_request(self, fn, /, *args, **kwargs):
        request = working_for()
        if request is None:
            return submit(self, fn, *args, **kwargs)
        _local.submitting = True
        try:
            return submit(self, carried, request, fn, *args, **kwargs)
        finally:
            _local.submitting = False

    @functools.wraps(start)
    def start_for_request(self):
        request = working_for()
        if request is not None and not _is_pool_worker(self):
            _carry_run(self, request, carried)
        return start(self)

    concurrent.futures.ThreadPoolExecutor.submit = submit_for_request
    threading.Thread.start = start_for_request


def _carry_run(thread, request, carried):
    run = thread.run

    def run_for_request():
        # The thread would hold itself by this attribute.
        vars(thread).pop("run", None)
        carried(request, run)

    thread.run = run_for_request
