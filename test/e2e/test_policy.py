# SPDX-License-Identifier: Apache-2.0
"""Who may call whom: AuthorizationPolicy at the ztunnel and at the waypoint, PeerAuthentication, and edits in flight."""
import pytest

from harness import objects as k8s
from harness import standard
from harness.servers import Echo, Origin, ended, read_exactly
from harness.standard import VIP

CLIENT = {"from": [{"source": {"principals": ["cluster.local/ns/demo/sa/client"]}}]}

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def mesh(new_mesh):
    mesh = standard.build(new_mesh)
    with Echo(mesh.far, 9000), Origin(mesh.far, 8080), Origin(mesh.near, 8080):
        yield mesh


def reaches(source, address, port=9000):
    """Whether bytes come back, or the connection ends without any."""
    with source.connect(address, port) as s:
        try:
            s.sendall(b"ping")
            return s.recv(4) == b"ping"
        except ConnectionError:
            return False


def denial(mesh, node, since, source):
    record = mesh.ztunnels[node].connection(since=since, direction="inbound", level="error",
                                            src__addr=lambda a: a.startswith(source.ip + ":"))
    return record["error"].removeprefix("connection closed due to policy rejection: ")


def test_an_allow_policy_lets_in_only_whom_it_names(mesh):
    with mesh.edited(k8s.authorization("demo/only-client", "ALLOW", [CLIENT], {"app": "far"})):
        mark = mesh.ztunnels[2].mark()
        assert reaches(mesh.client, mesh.far.ip)
        assert not reaches(mesh.other, mesh.far.ip)
        assert denial(mesh, 2, mark, mesh.other) == "allow policies exist, but none allowed"
        assert not reaches(mesh.stranger, mesh.far.ip)
    assert reaches(mesh.other, mesh.far.ip)


def test_a_deny_policy_is_named_in_the_log_and_as_401_to_the_caller(mesh):
    with mesh.edited(k8s.authorization("demo/not-client", "DENY", [CLIENT], {"app": "far"})):
        marks = mesh.ztunnels[1].mark(), mesh.ztunnels[2].mark()
        assert not reaches(mesh.client, mesh.far.ip)
        assert denial(mesh, 2, marks[1], mesh.client) == "explicitly denied by: demo/not-client"
        out = mesh.ztunnels[1].connection(since=marks[0], direction="outbound")
        assert out["error"] == "http status: 401 Unauthorized"


def test_a_policy_of_ports_and_namespaces(mesh):
    rule = {"from": [{"source": {"namespaces": ["demo"]}}], "to": [{"operation": {"ports": ["8080"]}}]}
    with mesh.edited(k8s.authorization("demo/http-only", "ALLOW", [rule], {"app": "far"})):
        assert not reaches(mesh.client, mesh.far.ip, 9000)
        assert "far-0" in mesh.client.curl(f"http://{mesh.far.ip}:8080/").stdout


def test_a_policy_edit_ends_connections_it_no_longer_allows(mesh):
    with mesh.client.connect(mesh.far.ip, 9000) as s, mesh.other.connect(mesh.far.ip, 9000) as t:
        for each in (s, t):
            each.sendall(b"ping")
            assert read_exactly(each, 4) == b"ping"
        with mesh.edited(k8s.authorization("demo/not-client", "DENY", [CLIENT], {"app": "far"})):
            assert ended(s)
            t.sendall(b"ping")
            assert read_exactly(t, 4) == b"ping"


def test_plaintext_connections_end_when_strict_comes(mesh):
    with mesh.stranger.connect(mesh.far.ip, 9000) as s, mesh.client.connect(mesh.far.ip, 9000) as t:
        for each in (s, t):
            each.sendall(b"ping")
            assert read_exactly(each, 4) == b"ping"
        mark = mesh.ztunnels[2].mark()
        with mesh.edited(k8s.peer_authentication("demo/default", "STRICT")):
            assert ended(s)
            record = mesh.ztunnels[2].connection(since=mark, direction="inbound", level="error")
            assert record["error"] == "connection closed due to policy change"
            t.sendall(b"ping")
            assert read_exactly(t, 4) == b"ping"


def test_a_workload_whose_labels_a_policy_selects_from_now_on(mesh):
    with mesh.edited(k8s.authorization("demo/locked", "DENY", [{}], {"locked": "yes"})):
        with mesh.client.connect(mesh.far.ip, 9000) as s, mesh.client.connect(mesh.near.ip, 8080) as t:
            s.sendall(b"ping")
            assert read_exactly(s, 4) == b"ping"
            before = mesh.far.labels
            mesh.far.labels = before | {"locked": "yes"}
            try:
                mesh.apply(k8s.authorization("demo/locked", "DENY", [{}], {"locked": "yes"}))
                assert ended(s)
                assert not reaches(mesh.client, mesh.far.ip)
                t.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert t.recv(8) == b"HTTP/1.1"
            finally:
                mesh.far.labels = before
    assert reaches(mesh.client, mesh.far.ip)


@pytest.fixture
def loud(mesh):
    """The destination's ztunnel says each decision."""
    mesh.ztunnels[2].stop()
    mesh.env = {"AUTHZ_POLICY_INFO_LOGGING": "true"}
    mesh.start_ztunnel(2)
    yield mesh.ztunnels[2]
    mesh.ztunnels[2].stop()
    mesh.env = {}
    mesh.start_ztunnel(2)


def test_a_dry_run_policy_is_logged_and_never_decides(mesh, loud):
    trial = k8s.authorization("demo/trial", "DENY", [CLIENT], {"app": "far"})
    trial["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
    with mesh.edited(trial):
        mark = loud.mark()
        assert reaches(mesh.client, mesh.far.ip)
        assert "policy=demo/trial" in loud.wait_line("dry-run: deny policy match", since=mark)
        assert f'src.identity="{mesh.client.identity}"' in loud.wait_line("no allow policies, allow", since=mark)


def test_strict_refuses_plaintext_round_the_mesh_and_permissive_does_not(mesh):
    assert reaches(mesh.stranger, mesh.far.ip)
    with mesh.edited(k8s.peer_authentication("demo/default", "STRICT")):
        mark = mesh.ztunnels[2].mark()
        assert not reaches(mesh.stranger, mesh.far.ip)
        assert denial(mesh, 2, mark, mesh.stranger) == "explicitly denied by: istio-system/istio_converted_static_strict"
        assert reaches(mesh.client, mesh.far.ip)
    with mesh.edited(k8s.peer_authentication("demo/default", "PERMISSIVE")):
        assert reaches(mesh.stranger, mesh.far.ip)


def test_strict_holds_for_ipv6_too(mesh):
    with mesh.edited(k8s.peer_authentication("demo/default", "STRICT")):
        assert not reaches(mesh.stranger, mesh.far.ip6)
        assert reaches(mesh.client, mesh.far.ip6)


def code(pod, *arguments, address=VIP["web"][0]):
    done = pod.curl("-o", "/dev/stdout", "-w", " %{http_code}", *arguments[:-1], f"http://{address}{arguments[-1]}")
    return done.stdout


@pytest.mark.parametrize("allow", [
    {"to": [{"operation": {"methods": ["GET"], "paths": ["/open*"]}}]},
    {"when": [{"key": "request.headers[x-key]", "values": ["secret"]}]},
    {"from": [{"source": {"principals": ["cluster.local/ns/demo/sa/client"]}}], "to": [{"operation": {"methods": ["GET"]}}]}])
def test_an_l7_allow_policy_at_the_waypoint(mesh, allow):
    with mesh.edited(k8s.authorization("demo/l7", "ALLOW", [allow], service_name="web")):
        assert code(mesh.client, "-H", "x-key: secret", "/open/door").endswith(" 200")
        assert code(mesh.other, "-X", "POST", "/closed") == "RBAC: access denied 403"


def test_an_l7_deny_policy_is_named_in_the_waypoints_log(mesh):
    waypoint = mesh.waypoints["waypoint-0"]
    rule = {"to": [{"operation": {"methods": ["DELETE"]}}]}
    with mesh.edited(k8s.authorization("demo/no-delete", "DENY", [rule], service_name="web")):
        mark = waypoint.mark()
        assert code(mesh.client, "-X", "DELETE", "/") == "RBAC: access denied 403"
        record = waypoint.request(since=mark, method="DELETE")
        assert record["details"] == "rbac_access_denied_matched_policy[ns[demo]-policy[no-delete]-rule[0]]"
        assert record["flags"] == "-"
        assert code(mesh.client, "/").endswith(" 200")


def test_a_policy_of_the_gateway_covers_its_services(mesh):
    rule = {"to": [{"operation": {"methods": ["TRACE", "PUT"]}}]}
    with mesh.edited(k8s.authorization("demo/gateway", "DENY", [rule], gateway="waypoint")):
        assert code(mesh.client, "-X", "PUT", "/") == "RBAC: access denied 403"


def test_behind_a_waypoint_the_ztunnel_sees_the_waypoints_identity(mesh):
    rule = {"from": [{"source": {"principals": ["cluster.local/ns/demo/sa/waypoint"]}}]}
    with mesh.edited(k8s.authorization("demo/through-waypoint", "ALLOW", [rule], {"tier": "web"})):
        assert code(mesh.client, "/").endswith(" 200")
        assert mesh.client.curl(f"http://{mesh.far.ip}:8080/").returncode != 0
