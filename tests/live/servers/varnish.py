# SPDX-License-Identifier: MIT
"""Varnish before another server."""
import daemons


class Varnish(daemons.Daemon):
    """Asks `back`, a (host, port)."""

    PROGRAMS = ("varnishd",)

    def __init__(self, back, **options):
        self.back = back
        super().__init__(**options)

    def configure(self):
        """Everything is on the command line; jail: the files are its own directory's."""
        return [daemons.program(*self.PROGRAMS), "-F", "-j", "none", "-n", self.dir, "-a", "127.0.0.1:%d" % self.port,
                "-b", "%s:%d" % self.back, "-s", "malloc,16m"]
