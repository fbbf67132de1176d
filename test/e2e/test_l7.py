# SPDX-License-Identifier: Apache-2.0
"""HTTP through the waypoint: client → ztunnel → waypoint → ztunnel → server, as contract/waypoint.md §3 says."""
import collections
import json
import re
import socket

import h2.config
import h2.connection
import h2.events
import pytest

from harness import objects as k8s
from harness import standard
from harness.servers import Echo, Origin, Server, ended, read_exactly
from harness.standard import VIP

UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
WEB = VIP["web"][0]
UPSTREAM = "upstream connect error or disconnect/reset before headers. reset reason: "
RETRIED = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.add(k8s.service("demo/empty", ["10.88.0.71"], {"app": "nobody"}, standard.PORTS, waypoint="waypoint"),
                 k8s.service("demo/shut", ["10.88.0.72"], {"app": "other"}, standard.PORTS, waypoint="waypoint"),
                 k8s.service("demo/h2", ["10.88.0.73"], {"app": "far"}, [("grpc", 80, 7001)], waypoint="waypoint"),
                 k8s.service("demo/one", ["10.88.0.74"], {"app": "far"}, standard.PORTS, waypoint="waypoint"))
    mesh = standard.build(new_mesh)
    mesh.origins = {pod.name: Origin(pod, 8080) for pod in (mesh.near, mesh.far)}
    yield mesh
    for origin in mesh.origins.values():
        origin.close()


def get(mesh, path="/", *flags, address=WEB):
    """(status, headers, body) of one curl."""
    return mesh.client.get(f"http://{address}{path}", *flags)


def raw(mesh, data, address=WEB, port=80):
    s = mesh.client.connect(address, port)
    s.sendall(data)
    return s


def read_response(stream):
    """(status, headers, body, trailers) of one HTTP/1.1 response with a length or chunks."""
    status = int(stream.readline().split()[1])
    headers = read_fields(stream)
    if status < 200:
        return status, headers, b"", {}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        return status, headers, body, read_fields(stream)
    return status, headers, stream.read(int(headers.get("content-length", 0))), {}


def read_fields(stream):
    fields = {}
    while line := stream.readline().strip():
        key, _, value = line.decode().partition(":")
        fields[key.lower()] = value.strip()
    return fields


# The request and the response as they pass.

@pytest.mark.parametrize("family", [0, 1])
def test_a_request_reaches_a_pod_of_the_service(mesh, family):
    address = VIP["web"][family]
    status, headers, body = get(mesh, "/hello?x=1", address=f"[{address}]" if ":" in address else address)
    seen = json.loads(body)
    assert status == 200 and seen["path"] == "/hello?x=1" and seen["name"] in ("near-0", "far-0")
    assert seen["headers"]["host"].strip("[]") == address


def test_the_headers_a_waypoint_adds(mesh):
    _, headers, body = get(mesh)
    seen = json.loads(body)["headers"]
    assert headers["server"] == "istio-envoy" and "date" in headers
    assert headers["x-envoy-upstream-service-time"].isdigit()
    assert re.fullmatch(UUID4, seen["x-request-id"])
    assert seen["x-forwarded-proto"] == "http"
    assert "x-forwarded-for" not in seen


def test_a_request_id_and_xff_that_are_there_are_kept(mesh):
    _, _, body = get(mesh, "/", "-H", "x-request-id: mine", "-H", "x-forwarded-for: 1.2.3.4")
    seen = json.loads(body)["headers"]
    assert seen["x-request-id"] == "mine" and seen["x-forwarded-for"] == "1.2.3.4"


def test_hop_by_hop_and_internal_headers_are_not_passed_on(mesh):
    _, _, body = get(mesh, "/", "-H", "connection: x-gone", "-H", "x-gone: 1", "-H", "keep-alive: 5", "-H", "te: gzip",
                     "-H", "x-envoy-max-retries: 9", "-H", "x-forwarded-client-cert: By=me")
    seen = json.loads(body)["headers"]
    assert not {"x-gone", "keep-alive", "te", "x-envoy-max-retries", "x-forwarded-client-cert"} & set(seen)


def test_the_host_header_does_not_choose_the_service(mesh):
    assert json.loads(get(mesh, "/", "-H", "host: legacy.demo.svc.cluster.local")[2])["name"] in ("near-0", "far-0")


def test_keep_alive_uses_one_connection_for_many_requests(mesh):
    with raw(mesh, b"") as s, s.makefile("rb") as stream:
        for i in range(10):
            s.sendall(f"GET /{i} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert json.loads(read_response(stream)[2])["path"] == f"/{i}"


def test_pipelined_requests_are_answered_in_order(mesh):
    requests = b"".join(f"GET /{i} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for i in range(5))
    with raw(mesh, requests) as s, s.makefile("rb") as stream:
        assert [json.loads(read_response(stream)[2])["path"] for _ in range(5)] == [f"/{i}" for i in range(5)]


def test_connection_close_is_honoured(mesh):
    with raw(mesh, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as s, s.makefile("rb") as stream:
        _, headers, _, _ = read_response(stream)
        assert headers["connection"] == "close" and stream.read() == b""


def test_a_chunked_request_body_arrives_whole(mesh):
    body = b"4\r\nwiki\r\n6;ext=1\r\npedia \r\n0\r\n\r\n"
    with raw(mesh, b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body) as s:
        with s.makefile("rb") as stream:
            assert json.loads(read_response(stream)[2])["size"] == 10


def test_a_chunked_response_arrives_whole(mesh):
    with raw(mesh, b"GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n") as s, s.makefile("rb") as stream:
        status, headers, body, _ = read_response(stream)
        assert (status, headers["transfer-encoding"], body) == (200, "chunked", b"hello world")


def test_expect_100_continue_goes_through_to_the_server(mesh):
    with raw(mesh, b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n") as s:
        with s.makefile("rb") as stream:
            assert read_response(stream)[0] == 100
            s.sendall(b"body")
            status, _, body, _ = read_response(stream)
            assert status == 200 and json.loads(body)["size"] == 4


def test_head_has_no_body(mesh):
    with raw(mesh, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n") as s:
        with s.makefile("rb") as stream:
            assert int(stream.readline().split()[1]) == 200 and int(read_fields(stream)["content-length"]) > 0
            assert json.loads(read_response(stream)[2])["path"] == "/2"


def test_a_websocket_upgrade_becomes_a_pipe(mesh):
    upgrade = (b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    with raw(mesh, upgrade) as s, s.makefile("rb") as stream:
        status, headers, _, _ = read_response(stream)
        assert status == 101 and headers["upgrade"].lower() == "websocket"
        for word in (b"\x81\x85abcdhello", b"\x00" * 70_000):
            s.sendall(word)
            assert stream.read(len(word)) == word
        s.shutdown(socket.SHUT_WR)
        assert stream.read() == b""


def test_an_upgrade_to_something_else_is_403(mesh):
    assert get(mesh, "/", "-H", "connection: upgrade", "-H", "upgrade: rfb")[0] == 403


# The protocol is found out by looking where the port does not say.

def test_an_unnamed_port_takes_http1_and_its_waypoint_sees_requests(mesh):
    mark = mesh.waypoints["waypoint-0"].mark()
    with Origin(mesh.near, 7000), Origin(mesh.far, 7000):
        assert json.loads(get(mesh, "/sniffed", address=f"{WEB}:7000")[2])["path"] == "/sniffed"
    assert mesh.waypoints["waypoint-0"].request(since=mark, path="/sniffed")["protocol"] == "HTTP/1.1"


def test_an_unnamed_port_takes_other_bytes_as_they_are(mesh):
    with Echo(mesh.near, 7000), Echo(mesh.far, 7000), raw(mesh, b"\x00\x01\x02 not http", port=7000) as s:
        assert read_exactly(s, 12) == b"\x00\x01\x02 not http"[:12]


def test_a_tcp_port_is_relayed_byte_for_byte(mesh):
    data = b"GET / HTTP/1.1\r\nBad Header\r\n\r\n" * 100
    with Echo(mesh.near, 9000), Echo(mesh.far, 9000), raw(mesh, data, port=9000) as s:
        assert read_exactly(s, len(data)) == data


# Bad requests.

@pytest.mark.parametrize("data, status", [
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", 426),
    (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400), (b"\x00\x01nonsense\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\n folded: 1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(120)) + b"\r\n", 431)])
def test_a_bad_request_has_its_status_and_ends_the_connection(mesh, data, status):
    before = sum(len(o.requests) for o in mesh.origins.values())
    with raw(mesh, data) as s, s.makefile("rb") as stream:
        code, headers, _, _ = read_response(stream)
        assert code == status and headers["server"] == "istio-envoy"
        assert stream.read() == b""
    assert sum(len(o.requests) for o in mesh.origins.values()) == before
    assert get(mesh)[0] == 200


# Local replies.

def logged(mesh, path):
    record = mesh.waypoints["waypoint-0"].request(path=path)
    return record["code"], record["flags"], record["details"]


def test_no_endpoint_is_503_uh(mesh):
    status, headers, body = get(mesh, "/uh", address="10.88.0.71")
    assert (status, body, headers["server"]) == (503, "no healthy upstream", "istio-envoy")
    assert headers["content-type"] == "text/plain"
    assert logged(mesh, "/uh") == ("503", "UH", "no_healthy_upstream")


def test_an_app_that_does_not_listen_is_503(mesh):
    status, _, body = get(mesh, "/uf", address="10.88.0.72")
    assert status == 503 and body.startswith(RETRIED + "remote connection failure")
    assert logged(mesh, "/uf")[:2] == ("503", "UF,URX")


def test_an_app_that_hangs_up_is_503_uc(mesh):
    status, _, body = get(mesh, "/hang-up")
    assert (status, body) == (503, UPSTREAM + "connection termination")
    code, flags, details = logged(mesh, "/hang-up")
    assert (code, flags) == ("503", "UC") and details.startswith("upstream_reset_before_response_started{connection_termination")


def test_no_matching_route_is_404_nr(mesh):
    rules = [{"matches": [{"path": {"type": "Exact", "value": "/only"}}], "backendRefs": [{"name": "web", "port": 80}]}]
    with mesh.edited(k8s.route("demo/web", "web", rules)):
        status, headers, body = get(mesh, "/other-path")
        assert (status, body, headers.get("content-length", "0")) == (404, "", "0")
        assert get(mesh, "/only")[0] == 200
    assert logged(mesh, "/other-path") == ("404", "NR", "route_not_found")


def test_the_access_log_line_of_a_request(mesh):
    mark = mesh.waypoints["waypoint-0"].mark()
    get(mesh, "/logged", "-d", "four", "-A", "agent/1")
    record = mesh.waypoints["waypoint-0"].request(since=mark, path="/logged")
    want = {"method": "POST", "protocol": "HTTP/1.1", "code": "200", "flags": "-", "details": "via_upstream",
            "received": "4", "agent": "agent/1", "authority": WEB, "termination": "-", "xff": "-"}
    assert {key: record[key] for key in want} == want
    assert record["cluster"] == "inbound-vip|80|http|web.demo.svc.cluster.local"
    assert record["downstream_local"] == f"{WEB}:80" and record["downstream_remote"].startswith(mesh.client.ip + ":")
    assert record["upstream_host"].endswith((f"{mesh.near.ip}:8080", f"{mesh.far.ip}:8080"))
    assert int(record["sent"]) > 100 and record["duration"].isdigit() and re.fullmatch(UUID4, record["request_id"])


def test_request_metrics_name_source_destination_and_code(mesh):
    waypoint, mark = mesh.waypoints["waypoint-0"], mesh.waypoints["waypoint-0"].mark()
    labels = {"reporter": "waypoint", "source_workload": "client-0", "destination_service": "web.demo.svc.cluster.local",
              "response_code": "200", "request_protocol": "http", "source_principal": mesh.client.identity,
              "connection_security_policy": "mutual_tls"}
    before = waypoint.counter("istio_requests_total", **labels)
    get(mesh, "/counted")
    waypoint.request(since=mark, path="/counted")
    assert waypoint.counter("istio_requests_total", **labels) == before + 1


# Routes.

def names(mesh, path="/?n=[1-100]", *flags):
    done = mesh.client.curl(*flags, "-w", "\n", f"http://{WEB}{path}")
    return collections.Counter(json.loads(line)["name"] for line in done.stdout.splitlines() if line)


def backends(near, far):
    return [{"name": "near", "port": 80, "weight": near}, {"name": "far", "port": 80, "weight": far}]


def test_requests_spread_over_the_pods_of_the_service(mesh):
    assert set(names(mesh)) == {"near-0", "far-0"}


def test_weights(mesh):
    with mesh.edited(k8s.route("demo/web", "web", [{"backendRefs": backends(90, 10)}])):
        counts = names(mesh, "/?n=[1-200]")
    assert sum(counts.values()) == 200 and 4 <= counts["far-0"] <= 45
    with mesh.edited(k8s.route("demo/web", "web", [{"backendRefs": backends(0, 1)}])):
        assert names(mesh) == {"far-0": 100}


@pytest.mark.parametrize("match, path, flags", [
    ({"path": {"type": "Exact", "value": "/a"}}, "/a", []),
    ({"path": {"type": "PathPrefix", "value": "/a/b"}}, "/a/b/c", []),
    ({"path": {"type": "RegularExpression", "value": "/x[0-9]+"}}, "/x42", []),
    ({"method": "DELETE"}, "/", ["-X", "DELETE"]),
    ({"headers": [{"name": "X-Canary", "value": "yes"}]}, "/", ["-H", "x-canary: yes"]),
    ({"headers": [{"type": "RegularExpression", "name": "x-user", "value": "j.*n"}]}, "/", ["-H", "x-user: jason"]),
    ({"queryParams": [{"name": "v", "value": "2"}]}, "/?v=2", []),
    ({"path": {"type": "PathPrefix", "value": "/a"}, "method": "PUT", "headers": [{"name": "h", "value": "1"}]}, "/a",
     ["-X", "PUT", "-H", "h: 1"])])
def test_a_match_selects_its_backend_and_others_do_not(mesh, match, path, flags):
    rules = [{"matches": [match], "backendRefs": [{"name": "far", "port": 80}]},
             {"matches": [{"path": {"type": "RegularExpression", "value": "/.*"}}],  # ranks below any other
              "backendRefs": [{"name": "near", "port": 80}]}]
    with mesh.edited(k8s.route("demo/web", "web", rules)):
        for _ in range(4):
            assert json.loads(get(mesh, path, *flags)[2])["name"] == "far-0"
            assert json.loads(get(mesh, "/nothing-of-it")[2])["name"] == "near-0"


def test_the_longest_prefix_and_the_exact_path_win_whatever_the_order(mesh):
    def to(kind, value, name):
        return {"matches": [{"path": {"type": kind, "value": value}}], "backendRefs": [{"name": name, "port": 80}]}
    rules = [to("PathPrefix", "/", "near"), to("PathPrefix", "/a", "far"), to("Exact", "/a/exact", "near")]
    with mesh.edited(k8s.route("demo/web", "web", rules)):
        assert [json.loads(get(mesh, p)[2])["name"] for p in ("/", "/a/x", "/a/exact", "/ab")] == [
            "near-0", "far-0", "near-0", "near-0"]


def test_headers_are_modified_as_the_route_says(mesh):
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {
                    "set": [{"name": "x-set", "value": "new"}], "add": [{"name": "x-add", "value": "b"}], "remove": ["x-rm"]}},
               {"type": "ResponseHeaderModifier", "responseHeaderModifier": {
                    "set": [{"name": "x-route", "value": "web"}], "remove": ["x-origin"]}}]
    with mesh.edited(k8s.route("demo/web", "web", [{"filters": filters, "backendRefs": backends(1, 1)}])):
        _, headers, body = get(mesh, "/", "-H", "x-set: old", "-H", "x-add: a", "-H", "x-rm: 1")
    seen = json.loads(body)
    assert seen["headers"]["x-set"] == "new" and "x-rm" not in seen["headers"]
    assert ",".join(v for k, v in seen["raw"] if k.lower() == "x-add").replace(" ", "") == "a,b"
    assert headers["x-route"] == "web" and "x-origin" not in headers


def test_a_backend_that_does_not_exist_is_500(mesh):
    with mesh.edited(k8s.route("demo/web", "web", [{"backendRefs": [{"name": "missing", "port": 80}]}])):
        assert get(mesh, "/missing")[0] == 500


# HTTP/2 and gRPC.

class Grpc(Server):
    """An h2c server: answers every message at once with the same bytes, and ends with trailers."""

    def serve(self, connection):
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        connection.sendall(conn.data_to_send())
        while data := connection.recv(65536):
            for event in conn.receive_data(data):
                self.react(conn, event)
            connection.sendall(conn.data_to_send())

    def react(self, conn, event):
        if isinstance(event, h2.events.RequestReceived):
            self.headers = list(event.headers)
            conn.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        elif isinstance(event, h2.events.DataReceived):
            conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            conn.send_data(event.stream_id, event.data)
        elif isinstance(event, h2.events.StreamEnded):
            conn.send_headers(event.stream_id, [("grpc-status", "0"), ("grpc-message", "fine")], end_stream=True)


class H2Client:
    """One HTTP/2 connection without TLS over a connected socket."""

    def __init__(self, sock):
        self.sock = sock
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.conn.initiate_connection()
        self.events = []
        self.flush()

    def flush(self):
        self.sock.sendall(self.conn.data_to_send())

    def wait(self, kind, stream):
        while True:
            for event in self.events:
                if isinstance(event, kind) and event.stream_id == stream:
                    self.events.remove(event)
                    return event
            data = self.sock.recv(65536)
            assert data, f"closed while waiting for {kind.__name__}; {self.events}"
            for event in self.conn.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.events.append(event)
            self.flush()


def call(path="/pkg.Service/Method"):
    return [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "h2"),
            ("content-type", "application/grpc"), ("te", "trailers")]


def test_grpc_streams_both_ways_and_ends_with_trailers(mesh):
    with Grpc(mesh.far, 7001) as server, mesh.client.connect("10.88.0.73", 80) as s:
        client = H2Client(s)
        client.conn.send_headers(1, call())
        client.flush()
        for message in (b"\x00\x00\x00\x00\x03one", b"\x00\x00\x00\x00\x03two"):
            client.conn.send_data(1, message)
            client.flush()
            assert client.wait(h2.events.DataReceived, 1).data == message
        assert dict(client.wait(h2.events.ResponseReceived, 1).headers)["content-type"] == "application/grpc"
        client.conn.end_stream(1)
        client.flush()
        assert dict(client.wait(h2.events.TrailersReceived, 1).headers) == {"grpc-status": "0", "grpc-message": "fine"}
        assert ("te", "trailers") in server.headers


def test_a_denied_grpc_call_is_a_grpc_status(mesh):
    rule = {"to": [{"operation": {"paths": ["/pkg.Service/*"]}}]}
    with mesh.edited(k8s.authorization("demo/no-grpc", "DENY", [rule], service_name="h2")):
        with mesh.client.connect("10.88.0.73", 80) as s:
            client = H2Client(s)
            client.conn.send_headers(1, call(), end_stream=True)
            client.flush()
            headers = dict(client.wait(h2.events.ResponseReceived, 1).headers)
            assert headers[":status"] == "200" and headers["grpc-status"] == "7"


def test_many_h2_streams_share_one_connection(mesh):
    with Grpc(mesh.far, 7001), mesh.client.connect("10.88.0.73", 80) as s:
        client = H2Client(s)
        streams = range(1, 101, 2)
        for stream in streams:
            client.conn.send_headers(stream, call(), end_stream=True)
        client.flush()
        for stream in streams:
            assert dict(client.wait(h2.events.TrailersReceived, stream).headers)["grpc-status"] == "0"


def test_nghttp_speaks_h2_to_an_h1_server_through_the_waypoint(mesh):
    done = mesh.client.run("nghttp", "-nv", f"http://{WEB}/from-h2")
    assert ":status: 200" in done.stdout, done.stdout + done.stderr
    assert any(r["path"] == "/from-h2" for o in mesh.origins.values() for r in o.requests)


def test_an_idle_client_that_leaves_leaves_nothing_behind(mesh):
    with raw(mesh, b"GET /slow HTTP/1.1\r\nHost: x\r\n") as s:
        s.shutdown(socket.SHUT_WR)
        ended(s)
    assert get(mesh)[0] == 200
