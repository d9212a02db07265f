# SPDX-License-Identifier: MIT
"""A FastAPI application that looks, at every step, whether its threads work for the request that it serves.

Each answer has `id`, the request's, and `wrong`, the number of looks that saw another. usage: probe_app.py LOOP PORT
"""
import asyncio
import sys
import threading

import anyio.to_thread
import uvicorn
from fastapi import BackgroundTasks, FastAPI
from loops import works_for
from starlette.middleware.base import BaseHTTPMiddleware

from reqmeter import RequestState, ResourceMonitor
from reqmeter.asgi import RequestMeterMiddleware
from reqmeter.fastapi import stats_router

app = FastAPI()
MONITOR = ResourceMonitor()
BACKGROUND = []


class OtherMiddleware(BaseHTTPMiddleware):
    """One that runs the rest in a task of its own, as many applications have."""

    async def dispatch(self, request, call_next):
        """Looks before and after."""
        state = RequestState.current()
        response = await call_next(request)
        response.headers["X-Middleware-Right"] = str(works_for(state))
        return response


app.add_middleware(OtherMiddleware)
app.add_middleware(RequestMeterMiddleware)
app.include_router(stats_router(MONITOR))


def answer(state, looks):
    """The endpoint's answer."""
    return {"id": state.request_id, "wrong": sum(not look for look in looks), "looks": len(looks)}


async def check(state):
    """A task."""
    await asyncio.sleep(0.001)
    return works_for(state)


@app.get("/async/{steps}")
async def steps(steps: int):
    """Awaits, tasks, pools, threads."""
    state, loop = RequestState.current(), asyncio.get_running_loop()
    looks = [works_for(state)]
    for step in range(steps):
        await asyncio.sleep(0.001 * (step % 3))
        looks.append(works_for(state))
    looks += await asyncio.gather(asyncio.create_task(check(state)), check(state), asyncio.to_thread(works_for, state),
                                  anyio.to_thread.run_sync(works_for, state),
                                  loop.run_in_executor(None, works_for, state))
    thread = threading.Thread(target=lambda: looks.append(works_for(state)))
    thread.start()
    thread.join()
    return answer(state, looks + [works_for(state)])


@app.get("/sync/{number}")
def sync(number: int):
    """In anyio's pool."""
    state = RequestState.current()
    return answer(state, [works_for(state)])


@app.get("/fails")
async def fails():
    """An error that nobody catches."""
    raise ZeroDivisionError


@app.get("/cancelled")
async def cancelled():
    """Tasks that are cancelled, at once and by a timeout, at work and asleep."""
    state, looks = RequestState.current(), []

    async def sleeper():
        try:
            await asyncio.sleep(60)
        finally:
            looks.append(works_for(state))

    for timeout in (0, 0.001):
        try:
            await asyncio.wait_for(sleeper(), timeout)
        except asyncio.TimeoutError:
            looks.append(works_for(state))
    task = asyncio.create_task(sleeper())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return answer(state, looks + [works_for(state)])


@app.get("/background")
async def background(tasks: BackgroundTasks):
    """Work after the response, still the request's."""
    state = RequestState.current()

    async def later():
        await asyncio.sleep(0.01)
        BACKGROUND.append(works_for(state))

    tasks.add_task(later)
    return answer(state, [works_for(state)])


@app.get("/background-looks")
async def background_looks():
    """What the background tasks saw."""
    return BACKGROUND


@app.get("/slow")
async def slow():
    """Longer than any client here waits."""
    await asyncio.sleep(2)


@app.get("/own")
async def own():
    """The program asks about its own request."""
    return await MONITOR.acollect_resources_info()


@app.post("/predict/")
async def predict():
    """Takes 20 ms."""
    await asyncio.sleep(0.02)
    return {"predictions": [1]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), loop=sys.argv[1], access_log=False, log_level="critical")
