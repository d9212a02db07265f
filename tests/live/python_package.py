# SPDX-License-Identifier: MIT
"""The Python package, built, and programs that use it."""
import os
import subprocess

import build

PYTHON = "/usr/bin/python3"
LIBRARY = os.path.join(build.ROOT, "build", "python", "lib")
EXAMPLE = os.path.join(build.ROOT, "src", "sdk", "python", "examples", "fastapi_app.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": LIBRARY + ":" + build.OUT, "PYTHONDONTWRITEBYTECODE": "1"}


def skip_reason():
    """What is missing here, or None."""
    if subprocess.run([PYTHON, "-c", "import fastapi, uvicorn"], capture_output=True).returncode != 0:
        return "%s has no fastapi or uvicorn" % PYTHON
    return None


def has_uvloop():
    """uvloop may be missing."""
    return subprocess.run([PYTHON, "-c", "import uvloop"], capture_output=True).returncode == 0


def make():
    """Builds it, and the extension by which tests measure it."""
    subprocess.run(["make", "--no-print-directory", "-C", build.ROOT, "python"], check=True, stdout=subprocess.DEVNULL)
    build.part("python_edges.so")


def script(name):
    """Path of a program of servers/."""
    return os.path.join(build.HERE, "servers", name)
