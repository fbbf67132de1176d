# SPDX-License-Identifier: Apache-2.0
"""The mesh most tests want.

    node1: client  near  stranger(not in the mesh)  waypoint        node2: far  other  legacy(not in the mesh)

Services near, far and legacy have their own pods behind them (80→8080 HTTP, 9000→9000 TCP); `web` is near and far
behind the waypoint, and has port 7000 with a name that says nothing, so its protocol is found out by looking.
"""
from . import objects as k8s

VIP = {"near": ["10.88.0.10", "fd00:88::10"], "far": ["10.88.0.20", "fd00:88::20"],
       "legacy": ["10.88.0.30", "fd00:88::30"], "web": ["10.88.0.40", "fd00:88::40"]}
PORTS = [("http", 80, 8080), ("tcp", 9000, 9000)]


def add_pods(mesh):
    """The pods, as attributes of the mesh."""
    for node, path, labels, captured in (
            (1, "demo/client-0/client", {"app": "client"}, True),
            (1, "demo/near-0/near", {"app": "near", "tier": "web"}, True),
            (1, "demo/stranger-0/stranger", {"app": "stranger"}, False),
            (1, "demo/waypoint-0/waypoint", k8s.waypoint_labels("waypoint"), False),
            (2, "demo/far-0/far", {"app": "far", "tier": "web"}, True),
            (2, "demo/other-0/other", {"app": "other"}, True),
            (2, "demo/legacy-0/legacy", {"app": "legacy"}, False)):
        pod = mesh.pod(node, path, labels, captured=captured)
        setattr(mesh, pod.name.partition("-")[0], pod)


def add_objects(mesh):
    for name in ("near", "far", "legacy"):
        mesh.add(k8s.service(f"demo/{name}", VIP[name], {"app": name}, PORTS))
    mesh.add(k8s.waypoint("demo/waypoint", "10.88.0.100"),
             k8s.service("demo/web", VIP["web"], {"tier": "web"}, PORTS + [("any", 7000, 7000)], waypoint="waypoint"))


def build(mesh, waypoint=True):
    """Pods, objects, capture, proxies; everything is ready on return."""
    add_pods(mesh)
    add_objects(mesh)
    mesh.topology.names({name: addresses for name, addresses in VIP.items()})
    return mesh.start(waypoints=[mesh.waypoint] if waypoint else [])
