# SPDX-License-Identifier: MIT
"""The test routes as a Flask application: gunicorn app:app. Routes and units: handlers.py."""
import flask

import handlers

app = flask.Flask(__name__)


def answer():
    """One request: the handler's figures as JSON, its own CPU also in X-Handler-CPU-Ns."""
    request = flask.request
    status, body = handlers.handle(
        request.path,
        lambda key: request.args.get(key, 0, type=int),
        request.headers.get("X-Request-ID", ""),
        request.get_data,
    )
    response = flask.jsonify(body)
    response.status_code = status
    response.headers["X-Handler-CPU-Ns"] = str(body["cpu_ns"])
    return response


for route in handlers.ROUTES:
    app.add_url_rule(route, route, answer, methods=["GET", "POST"])
