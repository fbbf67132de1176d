# SPDX-License-Identifier: Apache-2.0
"""What the process weighs before anybody uses it."""
import json

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


def large_mesh():
    """1,000 services of 10 pods each, as a ztunnel's local file has them; JSON is YAML as well."""
    def address(net, i):
        return f"10.{net}.{i >> 8}.{i & 255}"
    workloads = [{"uid": f"Kubernetes//Pod/demo/pod-{i}", "name": f"pod-{i}", "namespace": "demo",
                  "serviceAccount": f"account-{i // 10}", "trustDomain": "cluster.local", "workloadIps": [address(16, i)],
                  "protocol": "HBONE", "node": f"node-{i % 100}", "canonicalName": f"app-{i // 10}",
                  "workloadName": f"app-{i // 10}", "clusterId": "Kubernetes",
                  "services": {f"demo/service-{i // 10}.demo.svc.cluster.local": {80: 8080}}} for i in range(10_000)]
    services = [{"name": f"service-{i}", "namespace": "demo", "hostname": f"service-{i}.demo.svc.cluster.local",
                 "vips": [f"/{address(96, i)}"], "ports": {80: 8080}} for i in range(1000)]
    return {"workloads": workloads, "services": services}


@pytest.mark.parametrize("extension", ["yaml", "json"])
def test_a_large_mesh_leaves_a_process_of_a_moderate_size(mesh, place, extension):
    path = place / f"large.{extension}"
    path.write_text(json.dumps(large_mesh(), indent=1))
    z = mesh.ztunnels[1]
    z.stop()
    arguments = z.arguments
    z.arguments = [str(path) if a == str(mesh.config) else a.replace(str(mesh.config), str(path)) for a in map(str, arguments)]
    try:
        z.start(timeout=30)
        assert "workloads=10000 services=1000" in z.wait_line("configuration loaded")
        assert SANITIZED or z.process.rss() <= 60 * MIB
    finally:
        z.stop()
        z.arguments = arguments
        z.start()
