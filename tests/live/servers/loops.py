# SPDX-License-Identifier: MIT
"""Event loops of our own: Node's http and the C servers of epoll.c."""
import os

import daemons
import fixtures


class Node(daemons.Daemon):
    """node_app.js; /upstream asks the URL `upstream`."""

    PROGRAMS = ("node", "nodejs")

    def __init__(self, upstream="", **options):
        super().__init__(env={"UPSTREAM_URL": upstream}, **options)

    def configure(self):
        """Nothing to write."""
        return [daemons.program(*self.PROGRAMS), os.path.join(fixtures.SERVERS, "node_app.js"), str(self.port)]


class Epoll(daemons.Daemon):
    """epoll.c with its options; after stop(), truth() has what each request cost by the server's own clock."""

    PROGRAMS = ("gcc", "cc")

    def __init__(self, *arguments, **options):
        self.arguments = arguments
        super().__init__(**options)

    def environment(self, preload, env):
        """The server writes its truth itself."""
        return dict(super().environment(preload, env), TRUTH_FILE=self.truth_file)

    def configure(self):
        """Nothing to write."""
        return [daemons.c_program("epoll.c"), "--port", str(self.port), *self.arguments]
