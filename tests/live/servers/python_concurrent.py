# SPDX-License-Identifier: MIT
"""A FastAPI application whose handlers burn in small steps between awaits, all of a round at once.

usage: python_concurrent.py LOOP CONCURRENT STEP_US     (LOOP: asyncio or uvloop)
Prints its port. GET /burn/STEPS waits until CONCURRENT such requests are there, then burns. After each line on stdin it
prints {"least": {id: ns}, "most": {id: ns}, "stolen": {id: ns}, "handler": {id: ns}} of all requests: see python_clocks.py;
`handler` is what the handler itself saw of its steps.
"""
import asyncio
import gc
import json
import random
import socket
import sys
import time

import uvicorn
from fastapi import FastAPI

import python_clocks
from reqmeter import RequestState

CONCURRENT, STEP_NS = int(sys.argv[2]), int(sys.argv[3]) * 1000
HANDLER = {}
app = FastAPI()


class Gate:
    """Opens when so many wait before it, and is closed again behind them."""

    def __init__(self):
        self.n, self.event = 0, asyncio.Event()

    async def wait(self):
        """Until all are there."""
        self.n += 1
        event = self.event
        if self.n == CONCURRENT:
            self.n, self.event = 0, asyncio.Event()
            event.set()
        await event.wait()


def burn(now=time.thread_time_ns):
    """One step; what it took by the thread's clock."""
    start = now()
    while (end := now()) < start + STEP_NS:
        pass
    return end - start


@app.get("/burn/{steps}")
async def steps(steps: int):
    """Its own CPU in steps, others' between them: at once, after a turn of the loop, or after some time."""
    name = RequestState.current().request_id
    chance, total = random.Random(name), 0
    await app.gate.wait()
    for _ in range(steps):
        total += burn()
        await asyncio.sleep(0 if chance.random() < 0.8 else 0.0005)
    HANDLER[name] = total
    return {"id": name}


async def main():
    """Serves until stdin ends."""
    app.gate = Gate()
    sock = socket.create_server(("127.0.0.1", 0), backlog=CONCURRENT)
    print(sock.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(python_clocks.Measured(app), access_log=False, log_level="critical"))

    def told():
        if sys.stdin.readline():
            print(json.dumps({**python_clocks.told(), "handler": HANDLER}), flush=True)
        else:
            server.should_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin, told)
    # What happens once in a process (the library's table), and a collection of all that was imported, would lie between
    # the two reads at an edge of some request: truth, but of 10 ms.
    python_clocks.follow()
    gc.collect()
    gc.freeze()
    await server.serve(sockets=[sock])


if __name__ == "__main__":
    LOOP = python_clocks.new_loop(sys.argv[1])
    asyncio.set_event_loop(LOOP)
    LOOP.run_until_complete(main())
