# SPDX-License-Identifier: MIT
"""A model of the clients of DRUM's /stats/, made from what is publicly known of the report that they read."""
MEM_KEYS = {"total", "avail", "free", "drum_rss", "container_limit", "container_max_used", "container_used"}
TIME_KEYS = {"min", "max", "avg", "total", "count"}


def perf_test(report, in_docker):
    """What the performance test keeps of a report: (MiB used or allowed, MiB of the machine, average seconds)."""
    memory = report["mem_info"]
    figure = memory["container_limit"] if in_docker else memory["drum_rss"]
    average = report["time_info"]["run_predictor_total"]["avg"]
    return figure and float(figure), float(memory["total"]), average and float(average)


def check_report(test, report):
    """What the functional test looks at: every section, every key, every type; raises through the TestCase."""
    test.assertEqual(set(report["mem_info"]), MEM_KEYS)
    for key, value in report["mem_info"].items():
        test.assertIsInstance(value, (float, type(None)), key)
    test.assertIsInstance(report["mem_info"]["total"], float)
    for process in report["drum_info"]:
        test.assertIsInstance(process["pid"], int)
        test.assertIsInstance(process["cmdline"], list)
        test.assertIsInstance(process["mem"], float)
        test.assertIsInstance(process["cpu_percent"], float)
    test.assertGreater(len(report["drum_info"]), 0)
    for part in ("run_predictor_total", "all_requests"):
        times = report["time_info"][part]
        test.assertEqual(set(times), TIME_KEYS)
        test.assertIsInstance(times["count"], int)
        for key in TIME_KEYS - {"count"}:
            test.assertIsInstance(times[key], (float, type(None)) if times["count"] == 0 else float)
