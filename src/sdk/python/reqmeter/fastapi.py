# SPDX-License-Identifier: MIT
"""For FastAPI: `app.include_router(stats_router(monitor))` gives the application its own /stats/."""
from fastapi import APIRouter, Request, Response

from reqmeter.asgi import client_of, encode_stats


def stats_router(monitor):
    """A router with GET and HEAD of /stats/, the monitor's report; FastAPI redirects /stats there."""
    router = APIRouter()

    @router.api_route("/stats/", methods=["GET", "HEAD"], operation_id="reqmeter_stats")
    async def stats(request: Request):
        """Memory, processes and times of this application."""
        report = await monitor.acollect_stats(client_of(request.scope))
        return Response(encode_stats(report), media_type="application/json")

    return router
