# SPDX-License-Identifier: MIT
"""The test routes as a bare WSGI application: wsgi_app:app. Routes and units: handlers.py."""
import urllib.parse

import handlers


def app(environ, start_response):
    """One request: X-Handler-CPU-Ns is this thread's CPU inside the handler."""
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""))
    status, figures = handlers.handle(environ["PATH_INFO"], lambda key: int(query.get(key, ["0"])[0]),
                                      environ.get("HTTP_X_REQUEST_ID", ""), lambda: b"")
    start_response("%d Something" % status, [("Content-Length", "3"), ("X-Handler-CPU-Ns", str(figures["cpu_ns"]))])
    return [b"ok\n"]
