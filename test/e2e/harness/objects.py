# SPDX-License-Identifier: Apache-2.0
"""Kubernetes, Istio and Gateway API objects as plain dictionaries, written the way kubectl would print them."""
import json
import os

USE_WAYPOINT = "istio.io/use-waypoint"


def text(objects):
    """One multi-document YAML file (each document is JSON, which is YAML)."""
    return "".join("---\n" + json.dumps(o, indent=1) + "\n" for o in objects)


def write(path, objects):
    """Replaces the file in one step, as an editor or a ConfigMap mount does."""
    new = f"{path}.new"
    with open(new, "w") as f:
        f.write(objects if isinstance(objects, str) else text(objects))
    os.replace(new, path)


def _object(api, kind, name, namespace, **rest):
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {}) | rest.pop("metadata", {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata} | rest


def namespace(name, **labels):
    return _object("v1", "Namespace", name, None, metadata={"labels": {"istio.io/dataplane-mode": "ambient"} | labels})


def node(name, region="r1", zone="z1"):
    labels = {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone}
    return _object("v1", "Node", name, None, metadata={"labels": labels})


def pod(p):
    """The Pod object of a harness pod."""
    annotations = {"ambient.istio.io/redirection": "enabled"} if p.enrolled else {}
    return _object("v1", "Pod", p.name, p.namespace, metadata={"labels": p.labels, "annotations": annotations},
                   spec={"serviceAccountName": p.sa, "nodeName": p.node.name, "containers": [{"name": "c", "image": "x"}]},
                   status={"podIP": p.ip, "podIPs": [{"ip": p.ip}, {"ip": p.ip6}]})


def service(path, vips, selector, ports, waypoint=None, **labels):
    """path: `namespace/name`; ports: [(name, port, targetPort)]."""
    ns, name = path.split("/")
    if waypoint:
        labels[USE_WAYPOINT] = waypoint
    spec = {"clusterIP": vips[0], "clusterIPs": vips, "selector": selector,
            "ports": [{"name": n, "port": p, "targetPort": t} if n else {"port": p, "targetPort": t}
                      for n, p, t in ports]}
    return _object("v1", "Service", name, ns, metadata={"labels": labels}, spec=spec)


def waypoint(path, vip, traffic="service"):
    """A Gateway of class istio-waypoint and the Service that istiod's controller makes for it."""
    ns, name = path.split("/")
    labels = {"gateway.istio.io/managed": "istio.io-mesh-controller", "gateway.networking.k8s.io/gateway-name": name}
    gateway = _object("gateway.networking.k8s.io/v1", "Gateway", name, ns,
                      metadata={"labels": {"istio.io/waypoint-for": traffic}},
                      spec={"gatewayClassName": "istio-waypoint",
                            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}]})
    spec = {"clusterIP": vip, "clusterIPs": [vip], "selector": {"gateway.networking.k8s.io/gateway-name": name},
            "ports": [{"name": "status-port", "port": 15021}, {"name": "mesh", "port": 15008, "appProtocol": "hbone"}]}
    return [gateway, _object("v1", "Service", name, ns, metadata={"labels": labels}, spec=spec)]


def waypoint_labels(name):
    return {"gateway.networking.k8s.io/gateway-name": name, "istio.io/dataplane-mode": "none"}


def route(path, service_name, rules, port=None):
    """An HTTPRoute attached to a Service of its namespace."""
    ns, name = path.split("/")
    parent = {"group": "", "kind": "Service", "name": service_name} | ({"port": port} if port else {})
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", name, ns, spec={"parentRefs": [parent], "rules": rules})


def authorization(path, action, rules, selector=None, service_name=None, gateway=None):
    """Enforced at the pods' ztunnel (selector or nothing) or at the waypoint (service_name or gateway)."""
    ns, name = path.split("/")
    spec = {"action": action, "rules": rules}
    if selector:
        spec["selector"] = {"matchLabels": selector}
    if service_name:
        spec["targetRefs"] = [{"group": "", "kind": "Service", "name": service_name}]
    if gateway:
        spec["targetRefs"] = [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway}]
    return _object("security.istio.io/v1", "AuthorizationPolicy", name, ns, spec=spec)


def request_authentication(path, rules, service_name=None, gateway=None):
    ns, name = path.split("/")
    target = {"group": "", "kind": "Service", "name": service_name} if service_name else {
        "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway}
    return _object("security.istio.io/v1", "RequestAuthentication", name, ns,
                   spec={"targetRefs": [target], "jwtRules": list(rules)})


def peer_authentication(path, mode, selector=None):
    ns, name = path.split("/")
    spec = {"mtls": {"mode": mode}} | ({"selector": {"matchLabels": selector}} if selector else {})
    return _object("security.istio.io/v1", "PeerAuthentication", name, ns, spec=spec)
