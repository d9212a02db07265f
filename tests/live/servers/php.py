# SPDX-License-Identifier: MIT
"""PHP-FPM: speaks FastCGI, so a front server is needed to reach it."""
import os

import agent
import daemons
import fixtures

CONFIG = """
[global]
error_log = %(dir)s/errors
daemonize = no
[test]
listen = %(socket)s
listen.mode = 0666
user = root
group = root
pm = static
pm.max_children = %(children)d
"""


class PhpFpm(daemons.Daemon):
    """A pool of processes at `socket` that run `script`."""

    PROGRAMS = ("/usr/sbin/php-fpm*",)

    def __init__(self, children=4, **options):
        self.children = children
        super().__init__(**options)

    @property
    def socket(self):
        """Path of the Unix socket."""
        return self.path("php.sock")

    @property
    def script(self):
        """The script, from servers/."""
        return os.path.join(fixtures.SERVERS, "app.php")

    def configure(self):
        """Writes php-fpm.conf."""
        config = self.write("php-fpm.conf", CONFIG % {"dir": self.dir, "socket": self.socket,
                                                      "children": self.children})
        return [daemons.program(*self.PROGRAMS), "--nodaemonize", "--allow-to-run-as-root", "--no-php-ini",
                "--fpm-config", config]

    def wait_ready(self, seconds=20):
        """It answers no HTTP: ready when its socket is there."""
        if not agent.poll_until(lambda: os.path.exists(self.socket), seconds):
            said = self.said()
            self.stop()
            self.remove()
            raise RuntimeError("php-fpm did not start: " + said)
