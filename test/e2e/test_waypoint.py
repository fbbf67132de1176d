# SPDX-License-Identifier: Apache-2.0
"""Which traffic goes through a waypoint, and what a waypoint accepts on 15008 from a raw HBONE peer."""
import json
import ssl

import h2.exceptions
import pytest

import hbone_client
from harness import objects as k8s
from harness import standard
from harness.servers import Origin
from harness.standard import VIP
from hbone_client import Refused, Reset

REFUSED = (Refused, Reset, EOFError, OSError, ssl.SSLError, h2.exceptions.ProtocolError)
REQUEST = b"GET /raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.all = new_mesh.pod(1, "demo/all-0/all", k8s.waypoint_labels("all"), captured=False)
    new_mesh.guarded = new_mesh.pod(2, "demo/guarded-0/guarded", {"app": "guarded", k8s.USE_WAYPOINT: "all"})
    new_mesh.add(k8s.waypoint("demo/all", "10.88.0.101", traffic="workload"))
    mesh = standard.build(new_mesh)
    mesh.start_waypoint(mesh.all)
    origins = [Origin(pod, 8080) for pod in (mesh.near, mesh.far, mesh.guarded)]
    yield mesh
    for origin in origins:
        origin.close()


def curl(mesh, address, path):
    done = mesh.client.curl(f"http://{address}{path}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_service_with_a_waypoint_goes_through_it(mesh):
    marks = [p.mark() for p in (mesh.ztunnels[1], mesh.waypoints["waypoint-0"])]
    seen = curl(mesh, VIP["web"][0], "/through")
    assert "x-request-id" in seen["headers"]
    out = mesh.ztunnels[1].connection(since=marks[0], direction="outbound")
    assert out["dst.identity"] == mesh.waypoint.identity and out["dst.addr"] == f"{mesh.waypoint.ip}:15008"
    assert out["dst.hbone_addr"] == f"{VIP['web'][0]}:80" and out["dst.service"] == "web.demo.svc.cluster.local"
    assert mesh.waypoints["waypoint-0"].request(since=marks[1], path="/through")["code"] == "200"


def test_a_pod_address_goes_past_the_services_waypoint(mesh):
    assert "x-request-id" not in curl(mesh, f"{mesh.far.ip}:8080", "/direct")["headers"]


def test_a_service_without_a_waypoint_goes_direct(mesh):
    assert "x-request-id" not in curl(mesh, VIP["far"][0], "/direct")["headers"]


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_a_workload_with_a_waypoint_goes_through_it_by_its_address(mesh, family):
    address = getattr(mesh.guarded, family)
    mark = mesh.waypoints["all-0"].mark()
    seen = curl(mesh, f"[{address}]:8080" if ":" in address else f"{address}:8080", f"/{family}")
    assert "x-request-id" in seen["headers"]
    assert mesh.waypoints["all-0"].request(since=mark, path=f"/{family}")["code"] == "200"


def test_the_last_hop_has_the_waypoints_identity(mesh):
    mark = mesh.ztunnels[2].mark()
    with mesh.client.connect(VIP["web"][0], 80) as s:
        for _ in range(8):  # until both pods have been asked
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            s.recv(65536)
    dump = mesh.ztunnels[2].dump()
    assert dump["workloads"]
    mesh.waypoints["waypoint-0"].stop()
    record = mesh.ztunnels[2].connection(since=mark, direction="inbound", dst__hbone_addr=f"{mesh.far.ip}:8080")
    mesh.start_waypoint(mesh.waypoint)
    assert record["src.identity"] == mesh.waypoint.identity and record["src.addr"].startswith(mesh.waypoint.ip + ":")


def dial(mesh, identity="spiffe://cluster.local/ns/demo/sa/stranger"):
    return hbone_client.dial(mesh.stranger.connect(mesh.waypoint.ip, 15008), mesh.authority.client_context(identity))


def test_a_raw_connect_to_a_service_address_is_served(mesh):
    connection = dial(mesh)
    tunnel = connection.connect(f"{VIP['web'][0]}:80")
    tunnel.sendall(REQUEST)
    assert tunnel.read_all().startswith(b"HTTP/1.1 200")
    connection.close()


@pytest.mark.parametrize("authority", [
    "web.demo.svc.cluster.local:80", "10.88.0.40:81", "10.88.0.20:80", "{far}:8080", "{waypoint}:15000", "127.0.0.1:15000",
    "10.88.0.40", "8.8.8.8:80"])
def test_what_is_not_bound_to_this_waypoint_is_refused(mesh, authority):
    connection = dial(mesh)
    with pytest.raises(REFUSED):
        tunnel = connection.connect(authority.format(far=mesh.far.ip, waypoint=mesh.waypoint.ip))
        tunnel.sendall(REQUEST)
        if not tunnel.read_all():
            raise EOFError
    connection.close()


@pytest.mark.parametrize("identity", [None, "spiffe://elsewhere.example/ns/demo/sa/stranger"])
def test_a_peer_without_an_identity_of_the_mesh_is_refused(mesh, identity):
    with pytest.raises(REFUSED):
        dial(mesh, identity).connect(f"{VIP['web'][0]}:80")


def test_only_connect_is_routed_on_15008(mesh):
    connection = dial(mesh)
    stream = connection.request([(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "x")], True)
    assert connection.response(stream)[0] == 404
    connection.close()


def test_a_waypoint_allows_a_hundred_streams(mesh):
    connection = dial(mesh)
    connection.connect(f"{VIP['web'][0]}:80")
    assert connection.h2.remote_settings.max_concurrent_streams == 100
    connection.close()


def test_the_waypoint_is_ready_and_its_metrics_are_text_0_0_4(mesh):
    waypoint = mesh.waypoints["waypoint-0"]
    assert waypoint.get(15021, "/healthz/ready")[0] == 200
    assert waypoint.get(15020, "/stats/prometheus")[0] == 200
