# SPDX-License-Identifier: MIT
"""ResourceMonitor: memory and CPU of a program's processes, from an agent or, without one, from /proc and cgroups."""
import asyncio
import concurrent.futures
import contextvars
import functools
import itertools
import os
import time
import weakref

from reqmeter import _cgroups, _processes, _report
from reqmeter._agent import Agent, Budget
from reqmeter._clock import clock
from reqmeter._context import native
from reqmeter.state import RequestState

# Threads that may wait for the agent at a time. A silent agent is asked again only after a pause, so more do not help.
WORKERS = 4
# How long the place of this process's cgroup is taken to be the same: finding it is a third of the whole look.
PLACE_SECONDS = 1.0
# A request that asks for itself gets its row as it is now. The sections beside it may be so old: with the 50 ms for which
# the agent keeps a sample they are within the 250 ms that a report may be.
SECTIONS_SECONDS = 0.2
_numbers = itertools.count(1)
_monitors = weakref.WeakSet()


def _after_fork():
    for monitor in list(_monitors):
        monitor._begin()  # pylint: disable=protected-access


os.register_at_fork(after_in_child=_after_fork)


class ResourceMonitor:
    """What a program's processes use: drop-in for the class of that name in DataRobot DRUM.

    monitor_current_process: True looks at this process alone, else at all processes of its cgroup (container).
    agent: unix:PATH or http://HOST:PORT; else REQMETER_AGENT, else the agent's default addresses.
    Sizes are float MiB. Any thread; survives fork. No call takes longer than REQMETER_TIMEOUT_MS (100 ms) plus what
    reading /proc takes, whatever the agent does, and none raises because of it.
    """

    def __init__(self, monitor_current_process=False, *, agent=None):
        self._only_this_process = bool(monitor_current_process)
        self._agent = Agent(agent)
        self._begin()
        _monitors.add(self)

    def _begin(self):
        """In a new process: no thread of the parent's is here, and the readers are others."""
        self._pool = None
        self._cpu = _processes.CpuPercent()
        self._cgroup, self._cgroup_until = None, 0.0
        self._sections = (0.0, None)  # until when, what the agent said
        self._own_client = "monitor-%d-%d" % (os.getpid(), next(_numbers))

    def collect_resources_info(self, request_state=None):
        """A dict of mem_info, drum_info, agent (None: none answered), sources (who answered what).

        Also `request`, the ROW of the request_state given or else current, as it is now; None when the agent does not know
        it. Beside the row of a request that is going on, the sections are those of at most SECTIONS_SECONDS ago.
        """
        request_state = request_state or RequestState.current()
        return self._collect(self._own_client, False, request_state)

    def collect_drum_info(self):
        """The list of processes: pid, cmdline, mem (MiB), cpu_percent (of one core, since this monitor's last look)."""
        return self._collect(self._own_client, False, None)["drum_info"] or []

    def collect_stats(self, client=None):
        """The report for `/stats/`: time_info, too. Each client counts since its own last read."""
        return self._collect(client or self._own_client, True, None)

    async def acollect_resources_info(self, request_state=None):
        """collect_resources_info() for event loops: never blocks the loop."""
        request_state = request_state or RequestState.current()
        return await self._in_thread(self._collect, self._own_client, False, request_state)

    async def acollect_stats(self, client=None):
        """collect_stats() for event loops."""
        return await self._in_thread(self.collect_stats, client)

    async def _in_thread(self, function, *args):
        # A pool of its own: the loop's may be full of the program's work.
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(WORKERS, "reqmeter")
        # In an empty context: the helper's work there belongs to no request.
        loop = asyncio.get_running_loop()
        return await contextvars.Context().run(loop.run_in_executor, self._pool, functools.partial(function, *args))

    def _collect(self, client, with_times, request_state):
        budget = Budget()
        row = self._ask_row(request_state, budget)
        report = self._ask_sections(client, with_times, request_state, row, budget)
        answer = report or {}
        result = {"generated_unix_ns": time.time_ns(), "mem_info": _report.mem_info(answer),
                  "drum_info": None if self._only_this_process else _report.drum_info(answer)}
        sources = {"mem_info": "agent", "drum_info": "agent"}
        self._fill_from_proc(client, result, sources)
        if with_times:
            result["time_info"], sources["time_info"] = _times(client, answer)
        if request_state is not None:
            result["request"] = row or _report.find_row(answer, request_state.request_id, request_state.handle)
        result["agent"] = None if report is None else _report.agent(report)
        result["sources"], result["pid"] = sources, os.getpid()
        return result

    def _ask_row(self, request_state, budget):
        """The ROW of a request that is going on, by its number in this process and not by its id, which may repeat."""
        if request_state is None or not request_state.handle or not native:
            return None
        row = _report.own_row(self._agent.ask_request(request_state.handle, native.table(), budget) or {})
        if row is not None and row.get("path") is None:
            row["path"] = request_state.path
        return row

    def _ask_sections(self, client, with_times, request_state, row, budget):
        if row is None or with_times:
            return self._agent.ask_stats(self._query(client, with_times, request_state), budget)
        until, report = self._sections
        if time.monotonic() >= until:
            report = self._agent.ask_stats(self._query(client, False, None, row), budget)
            self._sections = (time.monotonic() + SECTIONS_SECONDS if report else 0.0, report)
        return _report.copy(report)

    def _query(self, client, with_times, request_state, row=None):
        sections = ["mem_info", "agent"]
        sections += [] if self._only_this_process else ["drum_info"]
        sections += ["time_info"] if with_times else []
        query = {"scope": "self", "client": client, "limit": "0"}
        if row is not None:
            query["table"] = native.table()
        if request_state is not None:
            sections.append("requests")
            query.update(id=request_state.request_id, limit="100")
        return {**query, "sections": ",".join(sections)}

    def _fill_from_proc(self, client, result, sources):
        """What the agent did not say. This process alone is always read here: an agent knows it by another pid."""
        if result["mem_info"] and result["drum_info"] is not None:
            return
        cgroup = self._own_cgroup()
        if result["drum_info"] is None:
            result["drum_info"], sources["drum_info"] = self._read_drum_info(client, cgroup), "proc"
        if not result["mem_info"]:
            result["mem_info"], sources["mem_info"] = _processes.mem_info(cgroup), "proc"
        if "proc" in (sources["mem_info"], sources["drum_info"]):
            result["mem_info"]["drum_rss"] = _processes.drum_rss(result["drum_info"])

    def _own_cgroup(self):
        now = time.monotonic()
        if now >= self._cgroup_until:
            self._cgroup = _cgroups.own_memory_cgroup()
            self._cgroup_until = now + PLACE_SECONDS
        return self._cgroup

    def _read_drum_info(self, client, cgroup):
        pids = [os.getpid()] if self._only_this_process else cgroup and cgroup.pids(_processes.PROCESSES_MAX)
        if pids is None:
            return None
        processes = _processes.read_processes(pids)
        return _processes.drum_info(processes, self._cpu.since_last_look(client, processes))


_NO_TIMES = {"min": None, "max": None, "avg": None, "total": None, "count": None}


def _times(client, answer):
    """(time_info, its source): the agent, this worker's own clock, or neither: then even the count is not known."""
    section = _report.time_info(answer)
    if section is not None:
        clock.move_on(client)
        return section, "agent"
    if clock.in_use:
        return clock.since_last_read(client), "worker"
    return {"run_predictor_total": dict(_NO_TIMES), "all_requests": dict(_NO_TIMES)}, None
