# SPDX-License-Identifier: MIT
"""Go's net/http: busy.go, built into build/live/ when it is newer."""
import os
import shutil
import subprocess
import tempfile

import build
import daemons
import fixtures


def go_program(source):
    """Path of a Go program below servers/. Its cache lies beside it and is removed."""
    source = os.path.join(fixtures.SERVERS, source)
    target = os.path.join(build.OUT, os.path.basename(source)[:-3] + "-go")
    if build.stale(target, [source]):
        os.makedirs(build.OUT, exist_ok=True)
        cache = tempfile.mkdtemp(dir=build.OUT)
        env = dict(os.environ, GOCACHE=cache, GOPATH=cache, GO111MODULE="off", GOFLAGS="", CGO_ENABLED="0")
        try:
            subprocess.run([daemons.program(*Go.PROGRAMS), "build", "-o", target + ".part", source], check=True, env=env)
        finally:
            shutil.rmtree(cache, ignore_errors=True)
        os.rename(target + ".part", target)
    return target


class Go(daemons.Daemon):
    """busy.go; with busy=True beside a goroutine that always works."""

    PROGRAMS = ("go",)

    def __init__(self, busy=False, **options):
        self.busy = busy
        super().__init__(**options)

    def configure(self):
        """Builds it."""
        return [go_program("busy.go"), str(self.port)] + ["busy"] * self.busy
