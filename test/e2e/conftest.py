# SPDX-License-Identifier: Apache-2.0
"""One guardian for the run, one mesh per module, a time limit for every test."""
import os
import pathlib
import resource
import shutil
import signal

import pytest

from harness.mesh import Mesh
from harness.netns import Guardian
from harness.process import BINARY

PLACE = pathlib.Path(__file__).resolve().parents[2] / "build/e2e"
LIMIT = 30  # seconds for one test and its set-up; @pytest.mark.limit(n) says otherwise


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): this test may take longer")
    config.addinivalue_line("markers", "smoke: part of test/e2e/run --smoke")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """An alarm breaks whatever the test waits for, and again while its fixtures clean up."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else LIMIT
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"not done after {seconds} s", pytrace=True))
    signal.setitimer(signal.ITIMER_REAL, seconds, 10)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture(scope="session")
def guardian():
    guardian = Guardian()
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))
    yield guardian
    guardian.close()


@pytest.fixture(scope="session")
def place():
    """A directory for files and logs; those of dead runs go when the next begins."""
    PLACE.mkdir(parents=True, exist_ok=True)
    for old in PLACE.glob("run-*"):
        if not os.path.exists(f"/proc/{old.name[4:]}"):
            shutil.rmtree(old, ignore_errors=True)
    mine = PLACE / f"run-{os.getpid()}"
    mine.mkdir()
    return mine


@pytest.fixture(scope="session")
def binary():
    if not os.access(BINARY, os.X_OK):
        pytest.fail(f"{BINARY} is not there: run make build", pytrace=False)
    return BINARY


@pytest.fixture(scope="module")
def new_mesh(guardian, place, binary, request):
    """A mesh for the module, empty: add pods and objects, then start() it."""
    name = request.module.__name__.removeprefix("test_")
    mesh = Mesh(guardian, f"{name[:8]}-", place / name)
    yield mesh
    mesh.close()
