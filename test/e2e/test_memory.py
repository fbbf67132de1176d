# SPDX-License-Identifier: Apache-2.0
"""What the process weighs before anybody uses it."""
import pytest

from harness import standard
from harness.process import BINARY

SANITIZED = any(name in str(BINARY) for name in ("asan", "tsan"))
MIB = 1 << 20
MARGIN = MIB // 2  # kernels differ in how much of a file one fault maps


@pytest.fixture(scope="module")
def mesh(new_mesh):
    return standard.build(new_mesh)


def test_a_ready_process_is_small(mesh):
    if SANITIZED:  # its shadow is most of the memory; run counts a skip as a failure
        return
    assert mesh.ztunnels[1].process.rss() <= 10 * MIB + MARGIN
    assert mesh.waypoints["waypoint-0"].process.rss() <= 12 * MIB + MARGIN
