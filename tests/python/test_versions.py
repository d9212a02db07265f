# SPDX-License-Identifier: MIT
"""The extension on other CPythons, and an installation by pip.

The Pythons are those of REQMETER_TEST_PYTHONS (programs, with their headers, separated by colons), else python3.10 to
python3.14 as far as they are on the path or among pyenv's.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import servers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(ROOT, "src", "sdk", "python")
PYENV = os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions", "3.1[0-4].*", "bin", "python3")
MODULES = ["test_state", "test_middleware", "test_monitor", "test_system", "test_clock", "test_ids"]
FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-fvisibility=hidden", "-ftls-model=initial-exec",
         "-Wall", "-Wextra", "-Wno-cast-function-type", "-Werror", "-I" + os.path.join(ROOT, "include"),
         "-I" + os.path.join(ROOT, "src")]


def other_pythons():
    """Programs that are another CPython than this one and have their headers."""
    given = os.environ.get("REQMETER_TEST_PYTHONS")
    names = given.split(":") if given else ["python3.%d" % minor for minor in range(10, 15)] + sorted(glob.glob(PYENV))
    found = []
    for program in filter(None, map(shutil.which, names)):
        ask = ("import os, sys, sysconfig; header = sysconfig.get_path('include') + '/Python.h'\n"
               "print(sys.version, os.path.exists(header))")
        told = subprocess.run([program, "-c", ask], capture_output=True, text=True).stdout
        if told.strip().endswith("True") and told not in (one for _, one in found) and not told.startswith(sys.version):
            found.append((program, told))
    return [program for program, _ in found]


def build(program, directory):
    """The package for that Python in a directory; by the compiler alone, for it may have no setuptools."""
    ask = "import sysconfig; print(sysconfig.get_path('include'), sysconfig.get_config_var('EXT_SUFFIX'))"
    include, suffix = subprocess.check_output([program, "-c", ask], text=True).split()
    shutil.copytree(os.path.join(PACKAGE, "reqmeter"), os.path.join(directory, "reqmeter"))
    sources = glob.glob(os.path.join(PACKAGE, "native", "*.c")) + glob.glob(os.path.join(ROOT, "src", "sdk", "*.c"))
    output = os.path.join(directory, "reqmeter", "_native" + suffix)
    subprocess.run([os.environ.get("CC", "gcc"), *FLAGS, "-I" + include, "-o", output, *sources], check=True)


def pure_packages(directory):
    """anyio and what it needs, which run on any Python."""
    for name in ("anyio", "sniffio", "idna"):
        shutil.copytree(os.path.dirname(__import__(name).__file__), os.path.join(directory, name))


class VersionsTest(unittest.TestCase):
    """Everything that needs no server."""

    def test_other_pythons(self):
        pythons = other_pythons()
        if not pythons:
            self.skipTest("no other CPython with headers; REQMETER_TEST_PYTHONS names some")
        for program in pythons:
            with self.subTest(python=program), tempfile.TemporaryDirectory(prefix="reqmeter-") as directory:
                build(program, directory)
                pure_packages(directory)
                environment = {**os.environ, "PYTHONPATH": os.pathsep.join((directory, HERE)),
                               "PYTHONDONTWRITEBYTECODE": "1", "REQMETER_TEST_LOOPS": "asyncio"}
                done = subprocess.run([program, "-m", "unittest", *MODULES], env=environment, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                self.assertEqual(done.returncode, 0, done.stdout)
        print("also on", ", ".join(pythons))

    def check_example(self, directory):
        """The example with what was installed there, asked as its docstring says."""
        with servers.example("asyncio", PYTHONPATH=directory) as server, server.client() as client:
            self.assertEqual(client.ask("/items/7")[0], 200)
            body, headers = '{"rows": 3}', {"Content-Type": "application/json"}
            self.assertEqual(client.ask("/predict/", "POST", headers, body)[0], 200)
            status, _, report = client.ask("/stats/")
            self.assertEqual((status, report["time_info"]["run_predictor_total"]["count"]), (200, 1))

    def test_pip(self):
        """As the readme says; nothing is left in the checkout but build/."""
        status = ["git", "-C", ROOT, "status", "--porcelain", "--ignored", "--", PACKAGE]
        before = subprocess.run(status, capture_output=True, text=True)
        with tempfile.TemporaryDirectory(prefix="reqmeter-") as directory:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-index", "--no-deps",
                   "--disable-pip-version-check", "--root-user-action", "ignore", "--target", directory, PACKAGE]
            done = subprocess.run(pip, capture_output=True, text=True, env={**os.environ, "REQMETER_NATIVE": "1"})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            ask = "import reqmeter; print(reqmeter.native, reqmeter.__version__, reqmeter.__file__)"
            told = subprocess.check_output([sys.executable, "-c", ask], text=True, cwd=directory,
                                           env={**os.environ, "PYTHONPATH": directory}).split()
            self.check_example(directory)
        self.assertEqual(told[:2], ["True", "0.1.0"])
        self.assertTrue(told[2].startswith(directory))
        self.assertEqual(subprocess.run(status, capture_output=True, text=True).stdout, before.stdout)
