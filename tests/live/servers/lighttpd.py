# SPDX-License-Identifier: MIT
"""lighttpd: files from one event loop."""
import daemons

CONFIG = """
server.document-root = "%(dir)s/www"
server.bind = "127.0.0.1"
server.port = %(port)d
server.errorlog = "%(dir)s/errors"
server.max-keep-alive-requests = 100000
"""


class Lighttpd(daemons.Daemon):
    """Static files."""

    PROGRAMS = ("lighttpd",)

    def configure(self):
        """Writes lighttpd.conf."""
        self.write_pages()
        config = self.write("lighttpd.conf", CONFIG % {"dir": self.dir, "port": self.port})
        return [daemons.program(*self.PROGRAMS), "-D", "-f", config]
