# SPDX-License-Identifier: MIT
"""What the scripts that measure cost have in common: servers, an agent, and CPU by the kernel's own count."""
import glob
import os
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(TOP, "build", "reqmeter")


def free_port():
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_port(port):
    """Until something listens there; ends the script after 10 s."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("the server does not listen")


class Process:
    """A child that is ended when its block ends."""

    def __init__(self, *command, **options):
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options)

    def __enter__(self):
        return self.child

    def __exit__(self, *_):
        self.child.terminate()
        self.child.communicate()


def agent(*options):
    """A running agent on a free loopback port."""
    process = Process(PROGRAM, "agent", "--listen", "127.0.0.1:%d" % free_port(), *options)
    line = process.child.stdout.readline()
    if not line.startswith(b"reqmeter: ready"):
        sys.exit("the agent does not start")
    return process


def children(pid):
    """The process's pid and those of all its descendants."""
    pids, more = [pid], [pid]
    while more:
        path = "/proc/%d/task/%d/children" % ((more.pop(),) * 2)
        try:
            with open(path, encoding="ascii") as file:
                found = [int(word) for word in file.read().split()]
        except OSError:
            found = []
        pids += found
        more += found
    return pids


def cpu_ns(pid):
    """CPU of all threads of a process and its descendants, ns, by the scheduler's own count."""
    total = 0
    for one in children(pid):
        for path in glob.glob("/proc/%d/task/*/schedstat" % one):
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total
