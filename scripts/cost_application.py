# SPDX-License-Identifier: MIT
"""The FastAPI example as scripts/cost-sdk compares it. usage: cost_application.py LOOP PORT HOW

HOW: bare (without the middleware), followed (as it is), psutil (bare, and psutil reads memory and processes once in each
request), monitor (followed, and collect_resources_info does). GET /ping returns a word.
"""
import os
import sys

import uvicorn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src", "sdk", "python", "examples"))
import fastapi_app  # pylint: disable=wrong-import-position

app = fastapi_app.app


@app.get("/ping")
async def ping():
    """The least that an application does."""
    return "pong"


class NoState:
    """What the example's endpoints ask for."""

    request_id = "none"

    @classmethod
    def current(cls):
        """Always the same."""
        return cls


def psutil_look():
    """The machine's memory, this process's, its CPU and name, by psutil; the container's from its files."""
    import psutil  # pylint: disable=import-outside-toplevel
    process = psutil.Process()
    files = ["/sys/fs/cgroup/memory/memory.%s_in_bytes" % name for name in ("limit", "usage", "max_usage")]
    files = [path for path in files if os.path.exists(path)]

    def look():
        memory, used = psutil.virtual_memory(), process.memory_info()
        sizes = []
        for path in files:
            with open(path, encoding="ascii") as file:
                sizes.append(int(file.read()))
        return memory.total, memory.available, memory.free, used.rss, process.cpu_percent(), process.cmdline(), sizes

    return look


def looking(inner, look):
    """An ASGI application that looks once in each request."""
    async def application(scope, receive, send):
        if scope["type"] == "http":
            look()
        await inner(scope, receive, send)

    return application


def main(loop, port, how):
    """Serves until SIGTERM."""
    served = app
    if how in ("bare", "psutil"):
        app.user_middleware.clear()
        app.middleware_stack = app.build_middleware_stack()
        fastapi_app.RequestState = NoState
    if how == "psutil":
        served = looking(app, psutil_look())
    elif how == "monitor":
        # This process alone, as psutil's way.
        served = looking(app, fastapi_app.ResourceMonitor(True).collect_resources_info)
    uvicorn.run(served, host="127.0.0.1", port=int(port), loop=loop, access_log=False, log_level="critical")


if __name__ == "__main__":
    main(*sys.argv[1:4])
