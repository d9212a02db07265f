# SPDX-License-Identifier: MIT
"""The test routes (tests/live/servers/handlers.py) as a WSGI application without a framework: gunicorn wsgi:app."""
import json
import urllib.parse

import handlers


def app(environ, start_response):
    """One request: the handler's figures as JSON, its own CPU also in X-Handler-CPU-Ns."""
    query = urllib.parse.parse_qs(environ["QUERY_STRING"])
    status, figures = handlers.handle(
        environ["PATH_INFO"],
        lambda key: int(query.get(key, ["0"])[0]),
        environ.get("HTTP_X_REQUEST_ID", ""),
        environ["wsgi.input"].read,
    )
    body = json.dumps(figures).encode()
    start_response("%d %s" % (status, "OK" if status == 200 else "Error"), [
        ("Content-Type", "application/json"), ("Content-Length", str(len(body))),
        ("X-Handler-CPU-Ns", str(figures["cpu_ns"]))])
    return [body]
