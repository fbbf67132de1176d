# SPDX-License-Identifier: Apache-2.0
"""Certificates that live for ten seconds: renewed under live transfers, and a root that is exchanged."""
import ssl
import time

import pytest

import hbone_client
from harness import standard
from harness.certificates import Authority
from harness.servers import Echo, read_exactly
from harness.standard import VIP


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.env = {"SECRET_TTL": "10s"}
    mesh = standard.build(new_mesh)
    with Echo(mesh.far, 9000), Echo(mesh.near, 9000):
        yield mesh


def serials(proxy, identity):
    """(leaf, root) serial numbers of one identity, as the admin port shows them."""
    entry = next(c for c in proxy.dump()["certificates"] if c["identity"] == identity)
    return entry["certChain"][0]["serialNumber"], entry["rootCerts"][0]["serialNumber"]


def ping(s, size=200_000):
    data = b"p" * size
    s.sendall(data)
    assert read_exactly(s, size) == data


def presented(mesh):
    """The serial number of the certificate that far's ztunnel shows now."""
    context = mesh.authority.client_context(mesh.stranger.identity)
    with hbone_client.secure(mesh.stranger.connect(mesh.far.ip, 15008), context) as tls:
        return tls.getpeercert()["serialNumber"]


@pytest.mark.limit(45)
def test_renewal_drops_no_connection_and_new_ones_use_the_new_certificate(mesh):
    seen = [presented(mesh)]
    with mesh.client.connect(VIP["far"][0], 9000) as direct, mesh.client.connect(VIP["web"][0], 9000) as through:
        deadline = time.monotonic() + 25
        while len(seen) < 4 and time.monotonic() < deadline:
            ping(direct)
            ping(through)
            with mesh.other.connect(VIP["web"][0], 9000) as s:
                ping(s, 100)
            if (now := presented(mesh)) != seen[-1]:
                seen.append(now)
    assert len(seen) == 4 and len(set(seen)) == 4


@pytest.mark.limit(45)
def test_a_changed_root_takes_effect_without_a_restart(mesh):
    old = mesh.authority
    before = {p.pid: serials(p, i) for p, i in owners(mesh)}
    old_leaf = old.leaf(mesh.stranger.identity)
    new = Authority(mesh.place / "new", "second")
    old.key.write_bytes(new.key.read_bytes())
    old.cert.write_bytes(new.cert.read_bytes())
    deadline = time.monotonic() + 30
    for proxy, identity in owners(mesh):
        while serials(proxy, identity)[1] == before[proxy.pid][1]:
            assert time.monotonic() < deadline, f"{proxy.arguments[0]} still shows the old root"
            proxy.lines.wait_change(0.1)
    for service in ("far", "web"):
        with mesh.client.connect(VIP[service][0], 9000) as s:
            ping(s, 100)
    connection = hbone_client.dial(mesh.stranger.connect(mesh.far.ip, 15008), new.client_context(mesh.stranger.identity))
    connection.connect(f"{mesh.far.ip}:9000")
    connection.close()
    mixed = new.client_context()
    mixed.load_cert_chain(*old_leaf)
    with pytest.raises((ssl.SSLError, OSError, EOFError)):
        hbone_client.dial(mesh.stranger.connect(mesh.far.ip, 15008), mixed).connect(f"{mesh.far.ip}:9000")


def owners(mesh):
    return [(mesh.ztunnels[1], mesh.client.identity), (mesh.ztunnels[2], mesh.far.identity),
            (mesh.waypoints["waypoint-0"], mesh.waypoint.identity)]
