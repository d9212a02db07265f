# SPDX-License-Identifier: MIT
"""/burn?us=N and /sleep?us=N as a bare ASGI application: asgi_app:app burns in the coroutine, asgi_app:pooled in a pool."""
import asyncio
import time
import urllib.parse

import handlers


def burn(us):
    """What the thread used."""
    start = time.thread_time_ns()
    handlers.burn(us)
    return time.thread_time_ns() - start


async def burn_here(us):
    """On the loop's own thread."""
    return burn(us)


async def burn_in_pool(us):
    """By a thread of the loop's pool."""
    return await asyncio.get_running_loop().run_in_executor(None, burn, us)


def application(burner):
    """The application with its way to burn."""
    async def run(scope, receive, send):
        if scope["type"] != "http":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        query = urllib.parse.parse_qs(scope["query_string"].decode())
        us, cpu = int(query.get("us", ["0"])[0]), 0
        if scope["path"] == "/burn":
            cpu = await burner(us)
        elif scope["path"] == "/sleep":
            await asyncio.sleep(us / 1e6)
        headers = [(b"content-length", b"2"), (b"x-handler-cpu-ns", str(cpu).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    return run


app = application(burn_here)
pooled = application(burn_in_pool)
