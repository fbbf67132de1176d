# SPDX-License-Identifier: Apache-2.0
"""Nothing of a run stays behind, however it ended."""
import os
import signal
import sys
import threading
import time

import pytest

from harness.process import ROOT, Process
from harness.topology import free_of

MAKER = """
import signal, sys; sys.path.insert(0, {here!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from harness.netns import Guardian
from harness.topology import Topology
topology = Topology(Guardian(), "t-")
pod = topology.pod(1, "demo/a-0/a")
topology.names({{"x": ["10.0.0.1"]}})
child = pod.spawn("sleep", "1000")
print("ready", flush=True)
child.wait(1000)
"""


def wait_free(prefix):
    deadline = time.monotonic() + 10
    while not free_of(prefix):
        assert time.monotonic() < deadline, f"namespaces {prefix}* are still there"
        threading.Event().wait(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_leaves_no_namespace_and_no_process(number):
    run = Process([sys.executable, "-c", MAKER.format(here=str(ROOT / "test/e2e"))])
    run.lines.wait(lambda line: line == "ready")
    prefix = f"amb{run.pid}-"
    assert not free_of(prefix)
    run.signal(number)
    run.child.wait(10)
    wait_free(prefix)


def test_a_demo_that_is_killed_half_way_leaves_nothing(binary):
    demo = Process([ROOT / "test/demo/run"], env={"AMBIENTD": str(binary)})
    demo.lines.wait(lambda line: line.startswith(" 1 "), timeout=20)
    prefix = f"amb{demo.pid}-"
    assert not free_of(prefix)
    os.kill(demo.pid, signal.SIGKILL)
    demo.child.wait(10)
    wait_free(prefix)
