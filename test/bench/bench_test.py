# SPDX-License-Identifier: Apache-2.0
"""What the bench concludes from numbers, and how it reads them. Needs no network and no root."""
import contextlib
import json
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import goals  # noqa: E402
import scale  # noqa: E402
import tools  # noqa: E402
from catalogue import WORKS  # noqa: E402
from goals import GOALS, Goal  # noqa: E402
from page import page  # noqa: E402
from report import Report, metrics_of  # noqa: E402
from tools import Void  # noqa: E402

WRK = """Running 3s test @ http://10.77.2.10:8080/1k
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.10ms    0.50ms  12.00ms   90.00%
  Latency Distribution
     50%    1.05ms
     75%    1.20ms
     90%    1.40ms
     99%  980.00us
  85000 requests in 3.00s, 105.00MB read
Requests/sec:  28333.00
"""
STRACE = """strace: Process 7 attached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.006000           3      2000           recvfrom
 30.00    0.003000           3      2001         1 sendmsg
 10.00    0.001000           1      1500           epoll_wait
  0.00    0.000000           0         4           futex
  0.00    0.000000           0         3         3 timerfd_settime
------ ----------- ----------- --------- --------- ----------------
100.00    0.010000           1      5508         4 total
"""


class Tools(unittest.TestCase):
    @contextlib.contextmanager
    def void(self, saying):
        with self.assertRaises(Void) as raised:
            yield
        self.assertIn(saying, str(raised.exception))

    def test_wrk_says_requests_and_percentiles_in_microseconds(self):
        said = tools.wrk(WRK)
        self.assertEqual((said.requests, said.latency), (85000, {"50": 1050.0, "99": 980.0}))

    def test_wrk_with_any_failure_is_void(self):
        for line in ("  Non-2xx or 3xx responses: 3", "  Socket errors: connect 0, read 4, write 0, timeout 0"):
            with self.void(line.strip()):
                tools.wrk(WRK + line)
        with self.void("not one request"):
            tools.wrk(WRK.replace("85000", "0"))
        with self.void("not one request"):
            tools.wrk("")

    def test_iperf3_says_what_arrived(self):
        said = {"end": {"sum_received": {"bytes": 5, "bits_per_second": 40.0}, "sum_sent": {"bytes": 9}}}
        self.assertEqual(tools.iperf3(json.dumps(said)), (5, 40.0))

    def test_iperf3_that_failed_is_void(self):
        for text, why in (('{"error": "unable to connect"}', "unable"), ("Killed", "Killed"),
                          ('{"end": {"sum_received": {"bytes": 0, "bits_per_second": 0}}}', "not one byte")):
            with self.void(why):
                tools.iperf3(text)

    def test_h2load_times_come_sorted(self):
        log = "0\t200\t300\n500000\t200\t100\n1000000\t200\t200\n"
        self.assertEqual(tools.h2load_log(log, 3, 3), [100, 200, 300])

    def test_h2load_too_slow_or_with_other_answers_is_void(self):
        log = "0\t200\t300\n1000000\t200\t100\n"
        with self.void("2 requests a second, not 10"):
            tools.h2load_log(log, 2, 10)
        with self.void("2 of 3"):
            tools.h2load_log(log + "1\t503\t9\n", 3, 1)

    def test_a_percentile_is_a_value_that_was_there(self):
        self.assertEqual([tools.percentile(list(range(100)), p) for p in (50, 99, 100)], [50, 99, 99])
        self.assertEqual(tools.percentile([7], 99), 7)

    def test_strace_counts_calls_not_errors(self):
        counts = tools.strace_counts(STRACE)
        self.assertEqual(counts, {"recvfrom": 2000, "sendmsg": 2001, "epoll_wait": 1500, "futex": 4, "timerfd_settime": 3})
        self.assertEqual(tools.by_kind(counts), {"data": 4001, "polls": 1500, "futex": 4, "other": 3})

    def test_strace_without_a_table_is_void(self):
        with self.void("Operation not permitted"):
            tools.strace_counts("strace: attach: ptrace(PTRACE_SEIZE, 7): Operation not permitted")


RATIO = Goal("CPU, ours / Envoy", "l4", "w", "cpu", 0.7, ("w", "cpu", "envoy"))
ABSOLUTE = Goal("KB", "l4", "w", "kb", 64, least=True)
OWN = Goal("two / one", "l4", "w2", "speed", 1.2, ("w", "speed", None), least=True)


class Goals(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_rounds_ratios(self):
        values = {("l4", "w", "cpu", "ambientd"): {0: 1, 1: 6, 2: 5}, ("l4", "w", "cpu", "envoy"): {0: 2, 1: 10, 2: 5}}
        judged = goals.judge(RATIO, values)
        self.assertEqual(judged["by"]["ambientd"], {"median": 0.6, "min": 0.5, "max": 1.0, "reached": True})

    def test_only_rounds_that_both_finished_are_compared(self):
        values = {("l4", "w", "cpu", "ambientd"): {0: 1, 1: 9}, ("l4", "w", "cpu", "envoy"): {0: 2, 2: 1}}
        self.assertEqual(goals.figures(RATIO, values, "ambientd"), [0.5])

    def test_what_is_not_above_nothing_is_noise_and_no_ratio(self):
        values = {("l4", "w", "cpu", "ambientd"): {0: 1, 1: -1}, ("l4", "w", "cpu", "envoy"): {0: 2, 1: 2}}
        self.assertIsNone(goals.judge(RATIO, values)["reached"])

    def test_against_envoy_the_build_with_vaes_counts_and_else_the_default(self):
        values = {("l4", "w", m, c): {0: v} for m in ("cpu", "kb") for c, v in (("ambientd", 9), ("ambientd-3.5", 65), ("envoy", 100))}
        self.assertEqual((goals.judge(RATIO, values)["build"], goals.judge(RATIO, values)["reached"]), ("ambientd-3.5", True))
        self.assertEqual((goals.judge(ABSOLUTE, values)["build"], goals.judge(ABSOLUTE, values)["reached"]), ("ambientd", False))
        del values["l4", "w", "cpu", "ambientd-3.5"]
        self.assertEqual(goals.judge(RATIO, values)["build"], "ambientd")

    def test_a_count_has_slack_for_what_runs_beside_it(self):
        goal = Goal("calls", "l4", "w", "data", 4, slack=0.05)
        for value, reached in ((4.01, True), (4.06, False)):
            self.assertEqual(goals.judge(goal, {("l4", "w", "data", "ambientd"): {0: value}})["reached"], reached)

    def test_ours_may_be_compared_with_ours_on_another_work(self):
        values = {("l4", "w2", "speed", "ambientd"): {0: 13}, ("l4", "w", "speed", "ambientd"): {0: 10}}
        self.assertTrue(goals.judge(OWN, values)["reached"])

    def test_every_goal_names_a_metric_that_is_measured(self):
        known = {(family, work.name, metric) for work in WORKS for family in work.families for metric, *_ in metrics_of(work)}
        for goal in GOALS:
            self.assertIn((goal.family, goal.work, goal.metric), known, goal.title)
            if goal.to:
                self.assertIn((goal.family, *goal.to[:2]), known, goal.title)


def report_of(values, forced=False):
    report = Report(WORKS, {"kernel": "6 <7>"}, forced)
    for (turn, *place), found in values.items():
        report.add(turn, *place, found)
    return report


class Reports(unittest.TestCase):
    GOOD = {(0, "l4", "requests-32", "envoy"): {"cpu_per_request": 26}, (0, "l4", "requests-32", "ambientd"): {"cpu_per_request": 13}}
    STRANGE = GOOD | {(0, "l4", "requests-32", "envoy"): {"cpu_per_request": 60}}

    def goal(self, report):
        return next(g for g in report.goals() if g["title"] == "L4: CPU per request, 32 connections, ours / Envoy")

    def test_a_contender_near_what_is_known_counts(self):
        report = report_of(self.GOOD)
        self.assertEqual((report.troubles(), self.goal(report)["by"]["ambientd"]["median"]), ([], 0.5))
        self.assertEqual([row["ratio"] for row in report.rows() if row["contender"] == "envoy"], [0.5])

    def test_a_contender_far_from_what_is_known_voids_the_run_and_its_goals(self):
        report = report_of(self.STRANGE)
        self.assertIn("further than 1.5×", report.troubles()[0])
        self.assertIsNone(self.goal(report)["reached"])
        self.assertIn("VOID", report.text())
        self.assertIn("further than", next(row for row in report.rows() if row["contender"] == "envoy")["void"])

    def test_what_is_known_counts_for_a_slower_machine_by_how_slow_it_is_without_proxies(self):
        slow = self.STRANGE | {(0, "l4", "requests-32", "none"): {"rate": 50_000}}
        self.assertEqual(report_of(slow).troubles(), [])  # 60 µs where 26.8 × 125,000 / 50,000 are expected
        other = self.STRANGE | {(0, "l4", "connections", "none"): {"rate": 6_800}}
        self.assertEqual(report_of(other).troubles(), [])
        memory = {(0, "l4", "start-up", "envoy"): {"rss": 150}, (0, "l4", "requests-32", "none"): {"rate": 50_000}}
        self.assertIn("further than 1.5×", report_of(memory).troubles()[0])

    def test_forced_figures_are_printed_with_a_warning(self):
        report = report_of(self.STRANGE, forced=True)
        self.assertTrue(self.goal(report)["reached"])
        self.assertIn("were forced", report.text())

    def test_who_failed_once_has_a_reason_and_no_figures(self):
        report = report_of(self.GOOD)
        report.void("l4", "requests-32", "ambientd", "round 1: it ended")
        self.assertEqual([row.get("void") for row in report.rows() if row["contender"] == "ambientd"], ["round 1: it ended"])
        self.assertIsNone(self.goal(report)["reached"])

    def test_added_latency_is_what_the_path_without_it_has_not(self):
        report = report_of({(0, "l4", "latency", c): {"p50": v, "p99": 9 * v} for c, v in (("none", 100), ("ambientd", 250))} | {
            (0, "waypoint", "latency", "envoy"): {"p50": 600, "p99": 999}})
        added = {row["contender"]: row["median"] for row in report.rows() if row["metric"] == "added_p50"}
        self.assertEqual(added, {"ambientd": 150, "envoy": 350})  # a waypoint's: beside our pair

    def test_json_has_the_goals_and_the_page_loads_nothing(self):
        report = report_of(self.GOOD)
        report.micro = [{"name": "a <b>", "ns": 5.0, "bytes_per_s": 2e9, "news": 0, "mallocs": 1}]
        self.assertEqual(len(json.loads(report.json())["goals"]), len(GOALS))
        text = page(report)
        for part in ("6 &lt;7&gt;", "a &lt;b&gt;", "reached", "<svg", "2,000"):
            self.assertIn(part, text)
        for loading in ("http:", "https:", "src=", "<link", "@import", "<script"):
            self.assertNotIn(loading, text)
        self.assertLess(text.index("Goals"), text.index("<svg"))


class Scale(unittest.TestCase):
    def test_work_that_does_not_get_dearer_scales(self):
        self.assertEqual([scale.times(0, n) for n in (8, 64)], [8, 64])

    def test_a_dearer_second_worker_bounds_the_rest(self):
        self.assertAlmostEqual(scale.times(0.1, 8), 8 / 1.7)
        values = {("l4", "requests-32-2w", "cpu_per_request", "ambientd"): {0: 11, 1: 10, 2: 12},
                  ("l4", "requests-32", "cpu_per_request", "ambientd"): {0: 10, 1: 10, 2: 10}}
        text = "\n".join(scale.estimate(values))
        self.assertIn("ESTIMATE, not measured", text)
        self.assertIn("10 % dearer, 20 % in the worst round; by the median (by the worst): 8 workers 4.71× (3.33×)", text)

    def test_without_two_workers_there_is_no_estimate(self):
        self.assertEqual(scale.estimate({}), [])


if __name__ == "__main__":
    unittest.main()
