# SPDX-License-Identifier: MIT
"""Builds the C parts of the live tests into build/live/ when their sources are newer."""
import os
import subprocess
import sysconfig

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT = os.path.join(ROOT, "build", "live")
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wmissing-prototypes", "-Wformat=2", "-Wvla"]
SHARED = ["-fPIC", "-shared", "-U_FORTIFY_SOURCE"]

# A program outside of this tree: the public header and the shared library.
SDK = ["-pthread", "-I" + os.path.join(ROOT, "include"), "-I" + os.path.join(ROOT, "src"), "-L" + os.path.join(ROOT, "build"),
       "-Wl,--no-as-needed", "-lreqmeter", "-Wl,-rpath," + os.path.join(ROOT, "build")]

SDK_HEADERS = ["../../src/shared/sdk_table.h", "../../include/reqmeter/reqmeter.h"]

# target: (sources and headers, extra flags)
PARTS = {
    "truth.so": (["truth.c", "truth_calls.c", "truth.h"], SHARED),
    "threads": (["servers/threads.c"], ["-pthread"]),
    "handoff": (["servers/handoff.c"], ["-pthread"]),
    "memory": (["servers/memory.c", "servers/memory_faults.c", "servers/memory_copies.c", "servers/memory.h"], ["-pthread"]),
    "sdk_slices": (["servers/sdk_slices.c"] + SDK_HEADERS, SDK),
    "sdk_memory": (["servers/sdk_memory.c"] + SDK_HEADERS, SDK),
    "sdk_shapes": (["servers/sdk_shapes.c"] + SDK_HEADERS, SDK),
    "sdk_hostile": (["servers/sdk_hostile.c"] + SDK_HEADERS, SDK),
    "sdk_server": (["../../src/sdk/examples/epoll_server.c"] + SDK_HEADERS, SDK),
    "python_edges.so": (["servers/python_edges.c", "../../src/sdk/python/native/calls.c", "../../src/sdk/python/native/calls.h"],
                        SHARED + ["-I" + sysconfig.get_paths()["include"]]),
    "turn_clock.so": (["servers/turn_clock.c"], SHARED),
    "busy": (["servers/busy.c"], ["-pthread"]),
    "refuse.so": (["refuse.c"], SHARED + ["-lbpf"]),
    "confine": (["servers/confine.c"], []),
    "waits": (["servers/waits.c", "servers/waits_do.c", "servers/waits_disk.c", "servers/waits.h"], ["-pthread"]),
}


def stale(target, sources):
    """True if target is missing or older than one of its sources."""
    if not os.path.exists(target):
        return True
    made = os.path.getmtime(target)
    return any(os.path.getmtime(source) > made for source in sources)


def part(name):
    """Absolute path of a built part; builds it when needed. Raises CalledProcessError if gcc fails."""
    sources, flags = PARTS[name]
    sources = [os.path.join(HERE, source) for source in sources]
    target = os.path.join(OUT, name)
    if stale(target, sources):
        os.makedirs(OUT, exist_ok=True)
        units = [source for source in sources if source.endswith(".c")]
        compiler = os.environ.get("CC", "gcc")
        command = [compiler, "-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE", *WARNINGS, *flags]
        subprocess.run(command + ["-o", target + ".part", *units], check=True)
        os.rename(target + ".part", target)
    return target
