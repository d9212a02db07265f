# SPDX-License-Identifier: MIT
"""Servers whose head is read by one thread and answered by another one, each with /burn?us=N, /sleep?us=N, /health."""
import importlib.util
import os

import daemons
import fixtures


class Python(daemons.Daemon):
    """A server that is a module of Python: MODULE, started with ARGUMENTS."""

    MODULE, ARGUMENTS, NEEDS = "", (), ()

    @classmethod
    def missing(cls):
        """As importlib finds it."""
        needs = cls.NEEDS or (cls.MODULE.partition(".")[0],)
        gone = [name for name in needs if importlib.util.find_spec(name) is None]
        return "no Python package %s here: scripts/setup test" % gone[0] if gone else None

    PROGRAMS = ("python3",)

    def environment(self, preload, env):
        """The applications lie beside this file."""
        return dict(super().environment(preload, env), PYTHONPATH=fixtures.SERVERS)

    def configure(self):
        """Nothing to write."""
        return [fixtures.PYTHON, "-m", self.MODULE, *(word.format(port=self.port) for word in self.ARGUMENTS)]


class Waitress(Python):
    """A loop that reads, four threads that answer."""

    MODULE = "waitress"
    ARGUMENTS = ("--listen=127.0.0.1:{port}", "--threads=4", "wsgi_app:app")


class Hypercorn(Python):
    """An asyncio loop that reads and writes; a pool runs the application."""

    MODULE = "hypercorn"
    ARGUMENTS = ("--bind", "127.0.0.1:{port}", "asgi_app:pooled")


class Twisted(Python):
    """Twisted's reactor reads and writes; its pool runs the application."""

    MODULE, NEEDS = "twisted", ("twisted",)
    ARGUMENTS = ("web", "--listen=tcp:{port}:interface=127.0.0.1", "--wsgi=wsgi_app.app")


class Uvicorn(Python):
    """One asyncio loop does it all."""

    MODULE = "uvicorn"
    ARGUMENTS = ("--host=127.0.0.1", "--port={port}", "--log-level=warning", "asgi_app:app")


class Gunicorn(Python):
    """gunicorn with worker class `kind`."""

    MODULE = "gunicorn"
    KIND = ("--workers=2",)

    def configure(self):
        """Its worker class."""
        return [fixtures.PYTHON, "-m", "gunicorn", "--bind=127.0.0.1:%d" % self.port, "--worker-tmp-dir=" + self.dir,
                "--log-level=error", *self.KIND, "wsgi_app:app"]


class GunicornSync(Gunicorn):
    """A process for each request."""

    KEEP_ALIVE = False


class GunicornThreads(Gunicorn):
    """A loop that waits, threads that read and answer."""

    KIND = ("--workers=1", "--worker-class=gthread", "--threads=4", "--keep-alive=20")


class Aiohttp(Python):
    """aiohttp on one loop."""

    MODULE = "aiohttp"

    def configure(self):
        """The server of the busy loops, at rest."""
        return [fixtures.PYTHON, os.path.join(fixtures.SERVERS, "busy_loop.py"), str(self.port), "aiohttp", "idle"]


class Puma(daemons.Daemon):
    """Workers read heads that are there already; a reactor reads those that are late."""

    PROGRAMS = ("puma",)

    def configure(self):
        """Nothing to write; it looks for a configuration in its directory, which is empty."""
        return [daemons.program(*self.PROGRAMS), "-q", "-w", "0", "-t", "4:4", "-b", "tcp://127.0.0.1:%d" % self.port,
                os.path.join(fixtures.SERVERS, "rack_app.ru")]


class Java(daemons.Daemon):
    """PoolServer.java."""

    PROGRAMS = ("java",)

    def configure(self):
        """Java compiles it itself."""
        return [daemons.program(*self.PROGRAMS), "-Xmx128m", os.path.join(fixtures.SERVERS, "PoolServer.java"), str(self.port)]
