# SPDX-License-Identifier: Apache-2.0
"""Envoy as Istio's data plane would set it up, as cheaply as it can be: fixed peers, no stats sinks, no access log.

Pair: 15001 (original destination) → internal listener → CONNECT over mTLS → 15008 → the app.
Waypoint: 15008 terminates CONNECT → internal listener with HTTP, one RBAC filter and a route → internal listener →
CONNECT over mTLS to the server's ztunnel.
"""
import json

from harness import envoy
from harness.envoy import cluster, listener, tcp_proxy, tls, typed
from harness.process import Process

MARK = 0x539  # what the capture rules let pass (contract/ztunnel.md, in-pod rules)
PEER = "io.istio.peer_principal"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NO_LIMITS = {"circuit_breakers": {"thresholds": [
    {"max_connections": 1 << 20, "max_pending_requests": 1 << 20, "max_requests": 1 << 20}]}}
# Envoy 1.40 turns the end of a tunnel that the server closed first into a TCP reset, and the client loses an answer that
# was still on its way (envoyproxy/envoy pull request 45267).
RUNTIME = {"layers": [{"name": "static", "static_layer": {f"envoy.reloadable_features.{feature}": False for feature in (
    "propagate_upstream_rst_through_tunneled_tcp_proxy", "map_http_stream_reset_to_tcp_rst")}}]}
MARKED = {"upstream_bind_config": {"source_address": {"address": "0.0.0.0", "port_value": 0}, "socket_options": [
    {"level": 1, "name": 36, "int_value": MARK, "state": "STATE_PREBIND"}]}}  # SOL_SOCKET, SO_MARK


def _hbone(authority, identity, peer, **more):
    """A cluster of HTTP/2 over mTLS to one peer's 15008."""
    options = typed(HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": {}})
    return cluster("hbone", peer.ip, 15008, typed_extension_protocol_options={HTTP_OPTIONS: options},
                    transport_socket=tls("UpstreamTlsContext", authority, identity, [peer.identity]),
                    **NO_LIMITS, **more)


def _internal_cluster(name, listener):
    endpoint = {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": listener}}}}
    passing = typed("envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
                     transport_socket={"name": "raw", "typed_config": typed(
                         "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")})
    return {"name": name, "type": "STATIC", "connect_timeout": "5s",
            "transport_socket": {"name": "internal", "typed_config": passing},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}} | NO_LIMITS


def _internal_listener(name, filters):
    return {"name": name, "internal_listener": {}, "filter_chains": [{"filters": filters}]}


def _originate(name, target):
    return _internal_listener(name, [tcp_proxy("hbone", tunneling_config={"hostname": target})])


def _http(prefix, filters, virtual_hosts, **fields):
    router = {"name": "router", "typed_config": typed("envoy.extensions.filters.http.router.v3.Router")}
    return {"name": "http", "typed_config": typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=prefix,
        http_filters=[*filters, router], route_config={"virtual_hosts": virtual_hosts}, **fields)}


def _terminate(authority, identity, targets, filters=()):
    """The 15008 listener. targets: {domain: cluster}."""
    def host(domain, cluster):
        route = {"match": {"connect_matcher": {}}, "route": {
            "cluster": cluster, "timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}
        return {"name": cluster, "domains": [domain], "routes": [route]}
    http = _http("hbone", filters, [host(*t) for t in targets.items()], codec_type="HTTP2",
                 http2_protocol_options={"allow_connect": True}, upgrade_configs=[{"upgrade_type": "CONNECT"}])
    secured = tls("DownstreamTlsContext", authority, identity, ["spiffe://cluster.local/"], require_client_certificate=True)
    return listener("0.0.0.0", 15008, [http], transport_socket=secured)


def pair_client(authority, client, far, ports):
    """Captured connections from `client` to these ports of `far`."""
    chains = [{"filter_chain_match": {"destination_port": p}, "filters": [tcp_proxy(f"to-{p}")]} for p in ports]
    captured = listener("0.0.0.0", 15001, []) | {"filter_chains": chains, "listener_filters": [
        {"name": "dst", "typed_config": typed("envoy.extensions.filters.listener.original_dst.v3.OriginalDst")}]}
    originates = [_originate(f"originate-{p}", f"{far.ip}:{p}") for p in ports]
    clusters = [_internal_cluster(f"to-{p}", f"originate-{p}") for p in ports]
    return {"listeners": [captured, *originates],
            "clusters": [*clusters, _hbone(authority, client.identity, far, **MARKED)]}


def pair_server(authority, far, ports):
    return {"listeners": [_terminate(authority, far.identity, {f"{far.ip}:{p}": f"app-{p}" for p in ports})],
            "clusters": [cluster(f"app-{p}", "127.0.0.1", p, **NO_LIMITS) for p in ports]}


def _remember_peer():
    value = {"object_key": PEER, "factory_key": "envoy.string", "shared_with_upstream": "ONCE",
             "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_PEER_URI_SAN%"}}}
    return {"name": "peer", "typed_config": typed(
        "envoy.extensions.filters.http.set_filter_state.v3.Config", on_request_headers=[value])}


def _only(identity):
    principal = {"filter_state": {"key": PEER, "string_match": {"exact": identity}}}
    policy = {"permissions": [{"any": True}], "principals": [principal]}
    return {"name": "rbac", "typed_config": typed("envoy.extensions.filters.http.rbac.v3.RBAC",
                                                   rules={"action": "ALLOW", "policies": {"only": policy}})}


def _routes(count):
    """/route/0 and up, by path element as an HTTPRoute's prefixes are, longest first as Istio sorts them; 0: everything."""
    there = {"route": {"cluster": "web", "timeout": "0s"}}
    prefixes = sorted((f"/route/{i}" for i in range(count)), key=len, reverse=True)
    return [{"match": {"path_separated_prefix": p}} | there for p in prefixes] or [{"match": {"prefix": "/"}} | there]


def waypoint(authority, place, far, port, allowed, routes):
    """A waypoint in pod `place` in front of one port of `far`; `allowed`: the one identity its RBAC lets in; `routes`: how
    many."""
    main = _http("main", [_only(allowed)], [{"name": "web", "domains": ["*"], "routes": _routes(routes)}])
    return {"listeners": [_terminate(authority, place.identity, {"*": "main"}, [_remember_peer()]),
                          _internal_listener("main", [main]), _originate("originate", f"{far.ip}:{port}")],
            "clusters": [_internal_cluster("main", "main"), _internal_cluster("web", "originate"),
                         _hbone(authority, place.identity, far)]}


def start(pod, resources, place, workers):
    """Envoy in a pod, its listeners open on return."""
    bootstrap = {"static_resources": resources, "layered_runtime": RUNTIME, "bootstrap_extensions": [
        {"name": "internal", "typed_config": typed("envoy.extensions.bootstrap.internal_listener.v3.InternalListener")}]}
    config = place / f"envoy-{pod.name}.json"
    config.write_text(json.dumps(bootstrap))
    process = Process([envoy.install(), "-c", config, "--concurrency", workers, "--disable-hot-restart", "-l", "info"],
                      pod.netns, log=place / f"envoy-{pod.name}.log")
    process.lines.wait(lambda line: "starting main dispatch loop" in line, timeout=15)
    return process
