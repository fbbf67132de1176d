# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of the proxies: the dump, metrics, logs and their levels, ctl, and an end by HTTP."""
import base64
import gzip
import json
import re
import subprocess

import pytest

from harness import objects as k8s
from harness import standard
from harness.process import BINARY, environment, run
from harness.servers import Echo, read_exactly
from harness.standard import PORTS, VIP

ORDER = ["src.addr", "src.workload", "src.namespace", "src.identity", "src.cluster", "dst.addr", "dst.hbone_addr",
         "dst.service", "dst.workload", "dst.namespace", "dst.identity", "dst.cluster", "direction", "bytes_sent",
         "bytes_recv", "duration"]
FAR = "far.demo.svc.cluster.local"
KEY = "PRIVATEKEY-----"


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.env = {"ISTIO_META_ISTIO_VERSION": "9.9.9"}
    mesh = standard.build(new_mesh)
    with Echo(mesh.far, 9000), Echo(mesh.near, 9000):
        yield mesh


def call(pod, address, port=9000):
    with pod.connect(address, port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


def key_body(mesh):
    return "".join(mesh.authority.key.read_text().splitlines()[1:-1])


def ctl(proxy, *arguments, **options):
    return run([BINARY, "ctl", *arguments], proxy.netns, **options)


def table(text):
    """The rows of a ctl table, as words."""
    return [line.split() for line in text.splitlines()]


def counted(proxy, family, value, since=None, **labels):
    """Waits until a counter has the value: bytes reach the metrics within a second or two."""
    for _ in range(400):
        if proxy.counter(family, **labels) == value:
            return True
        proxy.lines.wait_change(0.02)
    return False


def test_both_ends_log_a_connection_with_the_same_fields_in_order(mesh):
    marks = mesh.ztunnels[1].mark(), mesh.ztunnels[2].mark()
    call(mesh.client, VIP["far"][0])
    out = mesh.ztunnels[1].connection(since=marks[0], direction="outbound")
    into = mesh.ztunnels[2].connection(since=marks[1], direction="inbound")
    for record in (out, into):
        assert record.pop("level") == "info" and record.pop("message") == "connection complete"
        assert list(record) == ORDER
        assert record["src.identity"] == mesh.client.identity and record["dst.identity"] == mesh.far.identity
        assert record["dst.service"] == FAR and record["dst.hbone_addr"] == f"{mesh.far.ip}:9000"
        assert record["bytes_sent"] == record["bytes_recv"] == "5" and record["duration"].endswith("ms")
    assert out["dst.addr"] == into["dst.addr"] == f"{mesh.far.ip}:15008"


def test_a_call_that_fails_before_it_is_opened_is_logged_and_counted(mesh):
    empty = k8s.service("demo/empty", ["10.88.0.66", "fd00:88::66"], {"app": "nobody"}, PORTS)
    labels = {"reporter": "source", "destination_service": "empty.demo.svc.cluster.local"}
    with mesh.edited(empty):
        z = mesh.ztunnels[1]
        mark = z.mark()
        with mesh.client.connect("10.88.0.66", 80) as s:
            try:
                assert s.recv(1) == b""
            except ConnectionError:
                pass
        record = z.connection(since=mark, message="connection failed")
        assert list(record) == ["level", "message", "src.addr", "dst.addr", "direction", "error"]
        assert record["level"] == "warn" and record["error"] == "no healthy upstream: 10.88.0.66:80"
        assert z.counter("istio_tcp_connections_failed_total", source_workload="client-0", response_flags="CONNECT",
                         **labels) == 1
        assert z.counter("istio_tcp_connections_opened_total", **labels) == 0


def test_a_closed_application_port_is_told_in_the_words_of_a_ztunnel(mesh):
    marks = mesh.ztunnels[1].mark(), mesh.ztunnels[2].mark()
    with mesh.client.connect(mesh.far.ip, 4444) as s:
        try:
            assert s.recv(1) == b""
        except ConnectionError:
            pass
    assert mesh.ztunnels[1].connection(since=marks[0], direction="outbound")["error"] == "http status: 503 Service Unavailable"
    error = mesh.ztunnels[2].connection(since=marks[1], direction="inbound")["error"]
    assert error.startswith("connection failed: ") and error.endswith("Connection refused (os error 111)")


def test_bytes_of_a_connection_are_counted_while_it_is_open(mesh):
    z, labels = mesh.ztunnels[1], {"reporter": "source", "source_workload": "near-0", "destination_workload": "far-0"}
    with mesh.near.connect(VIP["far"][0], 9000) as s:
        s.sendall(b"x" * 1000)
        read_exactly(s, 1000)
        assert counted(z, "istio_tcp_received_bytes_total", 1000, **labels)
        assert counted(z, "istio_tcp_sent_bytes_total", 1000, **labels)
        assert z.counter("istio_tcp_connections_opened_total", **labels) == 1
        assert z.counter("istio_tcp_connections_closed_total", **labels) == 0
        assert z.counter("istio_tcp_sockets_open", reporter="source") == 1
    assert counted(z, "istio_tcp_connections_closed_total", 1, response_flags="-",
                   connection_security_policy="mutual_tls", destination_service=FAR, **labels)


def fetch(proxy, *arguments):
    """(headers, raw body) of one request from within the proxy's namespace."""
    done = subprocess.run(["ip", "netns", "exec", proxy.netns, "curl", "-s", "-i", *arguments], capture_output=True,
                          env=environment(), timeout=10, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return head.decode().lower(), body


@pytest.mark.parametrize("path", ["metrics", "stats/prometheus"])
def test_metrics_are_openmetrics_and_zipped_for_who_asks(mesh, path):
    call(mesh.client, VIP["far"][0])
    url = f"http://localhost:15020/{path}"
    head, body = fetch(mesh.ztunnels[1], url)
    assert "content-type: text/plain; charset=utf-8" in head and body.endswith(b"# EOF\n")
    head, zipped = fetch(mesh.ztunnels[1], "-H", "accept-encoding: gzip", "-H", "accept: application/openmetrics-text", url)
    assert "content-encoding: gzip" in head
    assert "content-type: application/openmetrics-text;charset=utf-8;version=1.0.0" in head
    families = [line for line in gzip.decompress(zipped).decode().splitlines() if line.startswith("# TYPE")]
    assert families == [line for line in body.decode().splitlines() if line.startswith("# TYPE")]
    assert "# TYPE istio_tcp_connections_opened counter" in families


def test_a_waypoints_metrics_are_of_the_older_text_unless_asked_otherwise(mesh):
    waypoint = mesh.waypoints["waypoint-0"]
    head, body = fetch(waypoint, "http://localhost:15020/stats/prometheus")
    assert "content-type: text/plain; version=0.0.4; charset=utf-8" in head and b"# EOF" not in body


def test_the_dump_lists_open_connections_of_both_ends_and_ctl_names_them(mesh):
    with mesh.client.connect(VIP["far"][0], 9000) as s:
        s.sendall(b"hello")
        read_exactly(s, 5)
        source = "{}:{}".format(*s.getsockname())
        states = mesh.ztunnels[1].dump()["workloadState"]
        out = states["Kubernetes//Pod/demo/client-0"]["connections"]["outbound"]
        assert out == [{"src": source, "originalDst": f"{VIP['far'][0]}:9000", "actualDst": f"{mesh.far.ip}:15008",
                        "protocol": "HBONE"}]
        into = mesh.ztunnels[2].dump()["workloadState"]["Kubernetes//Pod/demo/far-0"]
        assert into["info"] == {"name": "far-0", "namespace": "demo", "serviceAccount": "far"}
        assert [(c["originalDst"], c["actualDst"]) for c in into["connections"]["inbound"]] == [
            (FAR, f"{mesh.far.ip}:9000")]
        port = source.rpartition(":")[2]
        assert ["client-0.demo", "Outbound", f"client-0.demo:{port}", "far-0.demo:15008", f"{FAR}:9000", "HBONE"] in table(
            ctl(mesh.ztunnels[1], "connections").stdout)
        assert source in ctl(mesh.ztunnels[1], "connections", "--raw").stdout
        assert "call to" in ctl(mesh.ztunnels[1], "tasks").stdout + ctl(mesh.ztunnels[1], "tasks", "-o", "yaml").stdout


def test_ctl_prints_the_sections_of_a_live_proxy_and_of_its_saved_dump(mesh, place):
    z = mesh.ztunnels[1]
    saved = place / "dump.json"
    saved.write_text(ctl(z, "all", "-o", "json").stdout)
    dump = json.loads(saved.read_text())
    assert set(dump) == {"certificates", "config", "policies", "services", "stagedServices", "staticConfig", "version",
                         "workloadState", "workloads"}
    for what in ("workloads", "services", "policies"):
        assert json.loads(ctl(z, what, "-o", "json").stdout) == json.loads(
            ctl(z, "--file", saved, what, "-o", "json").stdout)
    assert ["demo", "far-0", f"{mesh.far.ip},{mesh.far.ip6}", "node2", "None", "HBONE"] in table(
        ctl(z, "workloads", "--file", saved).stdout)
    assert ["demo", "web", ",".join(VIP["web"]), "waypoint", "2/2"] in table(ctl(z, "services").stdout)
    rows = table(ctl(z, "certificates").stdout)
    assert [mesh.client.identity, "Leaf", "Available", "true"] in [row[:4] for row in rows]
    assert ctl(z, "services", "-n", "nowhere").stdout.splitlines()[1:] == []


def test_ctl_that_cannot_reach_or_read_says_what_to_do(mesh, place):
    z = mesh.ztunnels[1]
    done = ctl(z, "workloads", "--address", "127.0.0.1:1")
    assert done.returncode == 1 and "Is a proxy running there?" in done.stderr and "--file" in done.stderr
    (place / "none.json").write_text("{}")
    done = ctl(z, "workloads", "--file", place / "none.json")
    assert done.returncode == 1 and "this is no configuration dump" in done.stderr
    done = ctl(z, "log", "--level", "loud")
    assert done.returncode == 1 and "Invalid level provided: loud" in done.stderr


def without_space(text):
    """The text, and what its base64 words say, without line ends: a key may be shown either way."""
    out = text.replace("\\n", "\n")
    for word in re.findall(r"[A-Za-z0-9+/]{64,}={0,2}", out):
        out += base64.b64decode(word[:len(word) // 4 * 4]).decode("latin-1")
    return "".join(out.split())


def test_a_private_key_that_is_shown_would_be_found(mesh):
    key = mesh.authority.key.read_text()
    for shown in (key, json.dumps({"pem": key}), base64.b64encode(key.encode()).decode()):
        assert KEY in without_space(shown) and key_body(mesh) in without_space(shown)


def test_no_page_and_no_line_shows_a_private_key(mesh):
    call(mesh.client, VIP["far"][0])
    for proxy in mesh.proxies():
        texts = {page: proxy.get(port, page)[1] for port, page in (
            (15000, "/config_dump"), (15000, "/debug/tasks"), (15000, "/"), (15020, "/metrics"),
            (15000, f"/debug/why?src=demo/client-0&dst={VIP['far'][0]}:9000"))}
        texts["log"] = "\n".join(proxy.lines.since())
        assert "BEGINCERTIFICATE" in without_space(texts["/config_dump"])
        for where, text in texts.items():
            assert KEY not in without_space(text) and key_body(mesh) not in without_space(text), where


def test_the_config_section_is_what_the_process_was_told(mesh):
    dump = mesh.ztunnels[1].dump()
    assert dump["config"]["localNode"] == "node1" and dump["config"]["proxyMode"] == "Shared"
    assert dump["config"]["adminAddr"] == {"Localhost": [True, 15000]} and dump["config"]["packetMark"] == 1337
    assert dump["version"]["istioVersion"] == "9.9.9"


def test_the_build_and_the_pods_are_counted(mesh):
    _, metrics = mesh.ztunnels[1].get(15020, "/metrics")
    for line in ('# TYPE istio_build gauge', 'istio_build{component="ztunnel",tag="9.9.9"} 1',
                 "# TYPE workload_manager_active_proxy_count gauge", "workload_manager_active_proxy_count 2",
                 "# TYPE workload_manager_pending_proxy_count gauge", "workload_manager_pending_proxy_count 0",
                 "# TYPE workload_manager_proxies_started counter", "workload_manager_proxies_started_total 2",
                 "# TYPE workload_manager_proxies_stopped counter", "workload_manager_proxies_stopped_total 0"):
        assert line in metrics.splitlines()
    _, metrics = mesh.waypoints["waypoint-0"].get(15020, "/metrics")
    assert 'istio_build{component="proxy",tag="9.9.9"} 1' in metrics.splitlines()


def test_why_tells_a_calls_way_before_it_is_made(mesh):
    z = mesh.ztunnels[1]
    answer = json.loads(ctl(z, "why", "demo/client-0", "far.demo:9000", "-o", "json").stdout)
    assert answer["destination"]["service"] == f"demo/{FAR}" and "uncaptured" not in answer
    (way,) = answer["ways"]
    assert (way["dials"], way["authority"]) == (f"{mesh.far.ip}:15008", f"{mesh.far.ip}:9000")
    assert way["expects"] == [mesh.far.identity] and way["farEnd"]["status"] == 200
    mark = z.mark()
    call(mesh.client, VIP["far"][0])
    record = z.connection(since=mark, direction="outbound")
    assert (record["dst.addr"], record["dst.hbone_addr"]) == (way["dials"], way["authority"])
    deny = k8s.authorization("demo/no-client", "DENY", [{"from": [{"source": {
        "principals": [mesh.client.identity.removeprefix("spiffe://")]}}]}])
    with mesh.edited(deny):
        text = ctl(z, "why", mesh.client.ip, f"{mesh.far.ip}:9000").stdout
        assert "its ztunnel answers 401" in text and "explicitly denied by: demo/no-client" in text
        assert ["*", "demo/no-client", "Deny", "denies", "rule", "1"] in [row[:6] for row in table(text)]
    text = ctl(z, "why", "demo/client-0", f"{VIP['web'][0]}:9000").stdout
    assert "> waypoint demo/waypoint-0" in text and f"CONNECT {VIP['web'][0]}:9000" in text


def test_why_that_cannot_be_told_says_what_to_do(mesh, place):
    z = mesh.ztunnels[1]
    for arguments, error in ((("demo/nobody", "10.0.0.1:80"), "`ambientd ctl workloads` lists them"),
                             (("demo/client-0", "nowhere.example:80"), 'no service "nowhere.example"'),
                             (("demo/client-0", "10.0.0.1"), "is not IP:PORT"),
                             (("demo/client-0", "10.0.0.1:80", "--file", place / "dump.json"), "a running proxy")):
        done = ctl(z, "why", *arguments)
        assert done.returncode == 1 and error in done.stderr, done.stderr


def test_levels_are_changed_at_run_time_in_both_spellings(mesh):
    z = mesh.ztunnels[1]
    assert z.get(15000, "/logging")[0] == 405
    assert z.get(15000, "/logging", "POST") == (200, "current log level is info\n")
    assert z.get(15000, "/logging?level=access:off", "POST") == (200, "current log level is access=off,info\n")
    assert ctl(z, "log", "--level", "access=warn,policy=debug").stdout == "current log level is access=warn,policy=debug,info\n"
    assert z.get(15000, "/logging?level=info&reset", "POST") == (200, "current log level is info\n")
    status, body = z.get(15000, "/logging?level=loud", "POST")
    assert status == 400 and body.startswith("Invalid level provided: loud") and "usage: POST /logging" in body


def test_one_pods_connections_are_debugged_without_the_others(mesh):
    z = mesh.ztunnels[1]
    assert "[proxy{wl=demo/client-0}]=debug" in ctl(z, "log", "--workload", "demo/client-0", "--level", "debug").stdout
    mark = z.mark()
    call(mesh.near, VIP["far"][0])
    call(mesh.client, VIP["far"][0])
    opened = z.connection(since=mark, message="connection opened")
    assert opened["level"] == "debug" and opened["src.workload"] == "client-0" and "bytes_sent" not in opened
    z.connection(since=mark, message="connection complete", src__workload="client-0")
    assert not [r for r in z.connections(mark) if r["level"] == "debug" and r["src.workload"] != "client-0"]
    assert ctl(z, "log", "--workload", "demo/client-0", "--reset").stdout == "current log level is info\n"
    mark = z.mark()
    call(mesh.client, VIP["far"][0])
    z.connection(since=mark, message="connection complete")
    assert not [r for r in z.connections(mark) if r["level"] == "debug"]


def test_what_policy_decides_about_one_pod_is_told_on_demand(mesh):
    z = mesh.ztunnels[2]
    ctl(z, "log", "--workload", "demo/far-0", "--level", "debug")
    mark = z.mark()
    call(mesh.client, VIP["far"][0])
    line = z.wait_line("no allow policies, allow", since=mark)
    assert f'\tdebug\tpolicy:proxy{{wl=demo/far-0}}\tno allow policies, allow\t' in line and mesh.client.identity in line
    ctl(z, "log", "--reset")


def test_a_waypoint_answers_the_same_pages(mesh):
    waypoint = mesh.waypoints["waypoint-0"]
    with mesh.client.connect(VIP["web"][0], 9000) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
        state = waypoint.dump()["workloadState"]["Kubernetes//Pod/demo/waypoint-0"]
        assert state["info"]["name"] == "waypoint-0" and state["state"] == "Up"
        inbound = state["connections"]["inbound"]
        assert [(c["actualDst"], c["protocol"]) for c in inbound] == [(f"{mesh.waypoint.ip}:15008", "HBONE")]
        assert inbound[0]["src"].startswith(mesh.client.ip + ":")
        assert "worker" in waypoint.get(15000, "/debug/tasks")[1]
    assert waypoint.get(15000, "/logging", "POST") == (200, "current log level is info\n")
    assert ["demo", "waypoint-0"] in [row[:2] for row in table(ctl(waypoint, "workloads").stdout)]
    assert b"<h1>ambientd</h1>" in fetch(waypoint, "http://localhost:15000/")[1]


def test_json_lines_have_the_same_fields_as_plain_ones(mesh):
    z = mesh.ztunnels[2]
    z.stop()
    z.env = z.env | {"LOG_FORMAT": "json"}
    try:
        z.start()
        call(mesh.client, VIP["far"][0])
        record = json.loads(z.wait_line('"connection complete".*"direction":"inbound"'))
        assert list(record) == ["level", "time", "scope", "message", *ORDER]
        assert record["scope"] == "access" and record["bytes_sent"] == 5 and record["duration"].endswith("ms")
        for line in z.lines.since():
            json.loads(line)
    finally:
        z.stop()
        z.env = {key: value for key, value in z.env.items() if key != "LOG_FORMAT"}
        z.start()


def test_quitquitquit_drains_and_ends_the_process(mesh):
    z = mesh.ztunnels[2]
    assert z.get(15000, "/quitquitquit")[0] == 405
    mark = z.mark()
    with mesh.client.connect(VIP["far"][0], 9000) as s:
        s.sendall(b"hello")
        read_exactly(s, 5)
        assert z.get(15000, "/quitquitquit", "POST") == (200, "shutdown now\n")
        z.wait_line("draining connections", since=mark)
        s.sendall(b"still")
        assert read_exactly(s, 5) == b"still"
    assert z.process.wait() == 0
    z.start()
