# SPDX-License-Identifier: MIT
"""The recorded machines of tests/data/system, unpacked."""
import contextlib
import os
import re
import tempfile

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "system")


def _write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


@contextlib.contextmanager
def unpacked(text, cgroup=None):
    """The root directory of a tree; cgroup: what /proc/self/cgroup says there."""
    with tempfile.TemporaryDirectory(prefix="reqmeter-tree-") as root:
        for path, contents in re.findall(r"^==> (.*) <==\n((?:(?!==> ).*\n)*)", text, re.M):
            _write(root, path, contents)
        if cgroup is not None:
            _write(root, "proc/self/cgroup", cgroup)
        yield root


def recorded(name, cgroup):
    """A recording by its name, seen from a process of that cgroup."""
    with open(os.path.join(DATA, name + ".tree"), encoding="utf-8") as file:
        return unpacked(file.read(), cgroup)
