# SPDX-License-Identifier: MIT
"""Settings of the machine that a test changes for itself and puts back: files below /sys, and a swap file."""
import ctypes
import os
import shutil
import subprocess
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)
PROCESS_MADVISE, PIDFD_OPEN = 440, 434
MADV_PAGEOUT, MADV_COLLAPSE = 21, 25
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class KnobError(Exception):
    """The kernel has no such setting, or refuses."""


class Knobs:
    """A context manager: Knobs(directory, name=value, …); what was there before comes back in the opposite order."""

    def __init__(self, directory, **values):
        self.directory, self.values, self.before = directory, values, []

    def __enter__(self):
        try:
            for name, value in self.values.items():
                path = os.path.join(self.directory, name)
                with open(path, encoding="ascii") as file:
                    before = file.read().strip()
                with open(path, "w", encoding="ascii") as file:
                    file.write(str(value))
                self.before.append((path, before))
        except OSError as error:
            self.__exit__()
            raise KnobError("cannot set %s: %s" % (error.filename or path, error.strerror)) from None
        return self

    def __exit__(self, *_):
        for path, before in reversed(self.before):
            with open(path, "w", encoding="ascii") as file:
                file.write(before)
        self.before = []


class SwapFile:
    """A swap file of its own, in use until off(). A context manager; nothing of it is left."""

    def __init__(self, mib):
        handle, self.path = tempfile.mkstemp(prefix="reqmeter-swap-", dir="/var/tmp")
        self.is_on = False
        try:
            os.posix_fallocate(handle, 0, mib << 20)
            os.close(handle)
            self.run("mkswap")
            self.run("swapon")
            self.is_on = True
        except BaseException:
            os.unlink(self.path)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.is_on:
            self.off()
        os.unlink(self.path)

    def run(self, name):
        """One of the system's programs on this file."""
        program = shutil.which(name, path=SYSTEM_PATH)
        done = program and subprocess.run([program, self.path], capture_output=True, text=True)
        if not done or done.returncode:
            raise KnobError("%s: %s" % (name, done.stderr.strip() if done else "not here"))

    def off(self):
        """Brings back into memory all that lies there."""
        self.run("swapoff")
        self.is_on = False


class Iovec(ctypes.Structure):
    """struct iovec."""
    _fields_ = [("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


def madvise_other(pid, at, size, advice):
    """process_madvise() on all of another process's region, by this one. Raises KnobError where there is none."""
    handle = LIBC.syscall(PIDFD_OPEN, pid, 0)
    if handle < 0:
        raise KnobError("pidfd_open: " + os.strerror(ctypes.get_errno()))
    try:
        while size:
            done = LIBC.syscall(PROCESS_MADVISE, handle, ctypes.byref(Iovec(at, size)), 1, advice, 0)
            if done <= 0:
                raise KnobError("process_madvise: " + os.strerror(ctypes.get_errno()))
            at, size = at + done, size - done
    finally:
        os.close(handle)
