# SPDX-License-Identifier: MIT
"""memcached and Redis: servers that speak in lines, and no HTTP."""
import daemons
from talks import Listener


class Memcached(Listener):
    """One worker thread."""

    PROGRAMS = ("memcached",)

    def __init__(self, **options):
        super().__init__("memcached", "-l", "127.0.0.1", "-p", "{port}", "-U", "0", "-t", "1", "-u", "root", **options)


class Redis(Listener):
    """Nothing is kept on disk."""

    PROGRAMS = ("redis-server",)

    def __init__(self, **options):
        super().__init__(daemons.program(*self.PROGRAMS), "--port", "{port}", "--bind", "127.0.0.1", "--save", "",
                         "--dir", "{dir}", **options)
