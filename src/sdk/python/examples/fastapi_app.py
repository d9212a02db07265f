#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A FastAPI application that says which request it works for and serves its own /stats/.

    python3 fastapi_app.py [--loop asyncio|uvloop] [--host 127.0.0.1] [--port 8000]

    curl -s localhost:8000/items/7                           async, works in small steps and awaits in between
    curl -s localhost:8000/reports/7                         sync: runs in the thread pool
    curl -s localhost:8000/predict/ -H 'Content-Type: application/json' -d '{"rows": 3}'
                                                             counted in time_info.run_predictor_total
    curl -s localhost:8000/stats/                            memory, processes, times
"""
import argparse
import asyncio
import hashlib
from typing import Optional

import uvicorn
from fastapi import Body, FastAPI

from reqmeter import RequestState, ResourceMonitor
from reqmeter.asgi import RequestMeterMiddleware
from reqmeter.fastapi import stats_router

ROWS_MAX = 10000

app = FastAPI(title="reqmeter example")
app.add_middleware(RequestMeterMiddleware)
app.include_router(stats_router(ResourceMonitor()))


def work(text):
    """Some CPU: a quarter of a millisecond or so."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", 500).hex()[:8]


async def part(number):
    """A task of its own; what it uses is the request's."""
    await asyncio.sleep(0.001)
    return work(str(number))


@app.get("/items/{item_id}")
async def item(item_id: int):
    """Three tasks and the coroutine itself, interleaved with whatever else the loop serves."""
    parts = await asyncio.gather(*(asyncio.create_task(part(item_id + n)) for n in range(3)))
    return {"item": item_id, "parts": parts, "request_id": RequestState.current().request_id}


@app.get("/reports/{report_id}")
def report(report_id: int):
    """A sync endpoint."""
    return {"report": report_id, "digest": work(str(report_id)), "request_id": RequestState.current().request_id}


@app.post("/predict/")
async def predict(rows: Optional[int] = Body(1, embed=True, ge=1, le=ROWS_MAX)):
    """CPU in another thread, as models have it."""
    return {"predictions": [await asyncio.to_thread(work, str(row)) for row in range(rows)]}


def main():
    """Serves until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    uvicorn.run(app, host=args.host, port=args.port, loop=args.loop, access_log=False)


if __name__ == "__main__":
    main()
