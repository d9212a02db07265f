# SPDX-License-Identifier: MIT
"""What an agent's answer has to look like before a program passes it on: the shapes of the compatibility sections.

An answer is foreign: each function returns the section, or None when it is missing, null or not what it should be.
"""
MEM_INFO_KEYS = ("total", "avail", "free", "drum_rss", "container_limit", "container_max_used", "container_used")
TIME_KEYS = ("min", "max", "avg", "total")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_size(value):
    return value is None or _is_number(value)


def mem_info(report):
    """The section with its seven keys, all numbers or None."""
    section = report.get("mem_info")
    if not isinstance(section, dict) or not all(key in section and _is_size(section[key]) for key in MEM_INFO_KEYS):
        return None
    return section


def drum_info(report):
    """The list of processes."""
    section = report.get("drum_info")
    return section if isinstance(section, list) and all(map(_is_process, section)) else None


def _is_process(row):
    return (isinstance(row, dict) and isinstance(row.get("pid"), int) and "cmdline" in row
            and "mem" in row and _is_size(row["mem"]) and _is_number(row.get("cpu_percent")))


def time_info(report):
    """The section with both of its objects."""
    section = report.get("time_info")
    parts = ("run_predictor_total", "all_requests")
    return section if isinstance(section, dict) and all(_is_times(section.get(part)) for part in parts) else None


def _is_times(times):
    return (isinstance(times, dict) and _is_number(times.get("count"))
            and all(key in times and _is_size(times[key]) for key in TIME_KEYS))


def agent(report):
    """What the agent says of itself; an empty object when it answered without."""
    section = report.get("agent")
    return section if isinstance(section, dict) else {}


def own_row(answer):
    """The ROW of a request that asked for itself; None when the agent does not know it."""
    row = answer.get("request")
    return row if isinstance(row, dict) else None


def copy(report):
    """A report whose sections the caller may change."""
    if report is None:
        return None
    return {key: [dict(row) if isinstance(row, dict) else row for row in section] if isinstance(section, list)
            else dict(section) if isinstance(section, dict) else section for key, section in report.items()}


def find_row(report, request_id, handle):
    """The ROW of a request: the one with the handle, else the only one with the id. None when that is not certain."""
    requests = report.get("requests")
    lists = [requests.get(key) for key in ("active", "recent")] if isinstance(requests, dict) else []
    rows = [row for part in lists if isinstance(part, list) for row in part if isinstance(row, dict)]
    named = [row for row in rows if row.get("id") == request_id]
    exact = [row for row in named if handle is not None and row.get("handle") == handle]
    return exact[0] if exact else named[0] if len(named) == 1 else None
