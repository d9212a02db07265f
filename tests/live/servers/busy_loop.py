# SPDX-License-Identifier: MIT
"""An asyncio loop that always has something ready. usage: busy_loop.py PORT [aiohttp [idle]]

A task works for nobody, WORK_US at a time, for ever, but when idle. Routes: /health  /sleep?us=N  /burn?us=N
"""
import asyncio
import re
import sys
import time

import handlers

WORK_US = 200


async def background():
    """Always ready."""
    while True:
        handlers.burn(WORK_US)
        await asyncio.sleep(0)


async def work(path):
    """What a route does; its CPU in ns."""
    us = int((re.search(r"us=(\d+)", path) or [0, 0])[1])
    start = time.thread_time_ns()
    if path.startswith("/burn"):
        handlers.burn(us)
        return time.thread_time_ns() - start
    if path.startswith("/sleep"):
        await asyncio.sleep(us / 1e6)
    return 0


async def serve(reader, writer):
    """One connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            cpu = await work(head.split()[1].decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Handler-CPU-Ns: %d\r\n\r\nok" % cpu)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def bare(port):
    """asyncio's streams."""
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


async def by_aiohttp(port):
    """aiohttp's server."""
    from aiohttp import web  # pylint: disable=import-outside-toplevel

    async def answer(request):
        cpu = await work(request.path_qs)
        return web.Response(text="ok", headers={"X-Handler-CPU-Ns": str(cpu)})

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def main(port, how="", idle=""):
    """Serves and works."""
    tasks = [] if idle else [asyncio.create_task(background())]
    await asyncio.gather((by_aiohttp if how == "aiohttp" else bare)(int(port)), *tasks)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
