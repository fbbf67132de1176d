# SPDX-License-Identifier: Apache-2.0
"""The capture rules in a real namespace, with a bare listener in the proxy's place."""
import socket
import struct
import threading

import pytest

from harness.process import BINARY, run
from harness.topology import Topology

SO_MARK, MARK = 36, 0x539
SO_ORIGINAL_DST, IP_TRANSPARENT, IPV6_TRANSPARENT = 80, 19, 75

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def topology(guardian, binary):
    topology = Topology(guardian, "redir-")
    topology.pod(1, "demo/client-0/client")
    topology.pod(2, "demo/server-0/server")
    topology.pod(2, "demo/spare-0/spare")
    yield topology
    topology.close()


def state(pod):
    """Every rule and route of a namespace, without tables that exist only because something looked at them."""
    saved = run(["iptables-save"], pod.netns).stdout + run(["ip6tables-save"], pod.netns).stdout
    rules = [line for line in saved.splitlines() if line.startswith(("-A", ":ISTIO"))]
    return rules + [run(["ip", *what.split()], pod.netns).stdout for what in
                    ("-4 rule", "-6 rule", "-4 route show table 100", "-6 route show table 100")]


def original_destination(connection):
    if connection.family == socket.AF_INET6 and not connection.getsockname()[0].startswith("::ffff:"):
        raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from("!H", raw, 2)[0]
    raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(raw[4:8]), struct.unpack_from("!H", raw, 2)[0]


def marked_listener(pod, port):
    """A dual-stack listener as a proxy opens it: its mark passes on to what it accepts."""
    s = pod.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    s.listen(16)
    s.settimeout(5)
    return s


def test_apply_twice_leaves_one_copy(topology):
    pod = topology.pods[2]
    pod.redirect("--apply")
    once = state(pod)
    pod.redirect("--apply")
    assert state(pod) == once
    assert sum(line == "-A OUTPUT -j ISTIO_OUTPUT" for line in once) == 4  # mangle and nat, both families


def test_partial_residue_is_repaired_and_other_rules_stay(topology):
    pod = topology.pods[2]
    run(["iptables", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "99", "-j", "ACCEPT"], pod.netns)
    pod.redirect("--apply")
    good = state(pod)
    run(["iptables", "-t", "mangle", "-F"], pod.netns)
    run(["ip6tables", "-t", "nat", "-A", "OUTPUT", "-j", "ISTIO_OUTPUT"], pod.netns)
    run(["ip", "rule", "del", "pref", "32764"], pod.netns)
    assert state(pod) != good
    pod.redirect("--apply")
    assert state(pod) == good
    assert any("--dport 99" in line for line in good)


def test_dns_rules_come_and_go(topology):
    pod = topology.pods[2]
    pod.redirect("--apply")
    without = state(pod)
    pod.redirect("--apply", "--dns")
    assert sum("--to-ports 15053" in line for line in state(pod)) == 4
    pod.redirect("--apply")
    assert state(pod) == without


def test_remove_takes_everything_and_can_be_repeated(topology):
    pod = topology.pods[2]
    pod.redirect("--apply", "--dns")
    pod.redirect("--remove")
    left = state(pod)
    assert not any("ISTIO" in line or "0x111" in line or "local default" in line for line in left)
    pod.redirect("--remove")
    assert state(pod) == left


def test_print_runs_as_a_script_and_gives_the_same_rules(topology):
    pod = topology.pods[2]
    pod.redirect("--apply")
    applied = state(pod)
    pod.redirect("--remove")
    done = pod.run("sh", "-e", input=pod.redirect("--print"))
    assert done.returncode == 0, done.stderr
    assert state(pod) == applied
    pod.redirect("--remove")


def test_without_net_admin_the_error_says_what_to_do():
    done = run(["setpriv", "--reuid=65534", "--bounding-set=-all", "--inh-caps=-all", BINARY, "redirect", "--apply"])
    assert done.returncode != 0
    assert "needs CAP_NET_ADMIN in this network namespace: run as root" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_calls_of_the_app_are_captured_with_their_destination(topology, family):
    client, server = topology.pods[:2]
    client.redirect("--apply")
    with marked_listener(client, 15001) as proxy:
        for address, port in ((getattr(server, family), 8080),
                              ("10.88.0.1" if family == "ip" else "fd00:88::1", 80)):
            with client.connect(address, port):
                accepted, _ = proxy.accept()
                with accepted:
                    assert original_destination(accepted) == (address, port)


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_plaintext_calls_to_the_app_are_captured_and_hbone_is_not(topology, family):
    client, server = topology.pods[:2]
    client.redirect("--remove")
    server.redirect("--apply")
    address = getattr(server, family)
    with marked_listener(server, 15006) as plain, marked_listener(server, 15008) as hbone:
        with client.connect(address, 8080):
            accepted, peer = plain.accept()
            with accepted:
                assert original_destination(accepted) == (address, 8080)
                assert peer[0].removeprefix("::ffff:") == getattr(client, family)
        with client.connect(address, 15008):
            hbone.accept()[0].close()


def test_marked_sockets_and_loopback_pass_by(topology):
    client, server = topology.pods[:2]
    client.redirect("--apply")
    server.redirect("--remove")
    with server.listen(8080), client.listen(8081):
        with client.socket() as marked:
            marked.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
            marked.settimeout(5)
            marked.connect((server.ip, 8080))
        client.connect("127.0.0.1", 8081).close()
        client.connect(client.ip, 8081).close()


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_the_app_sees_the_client_address_and_its_answer_comes_back(topology, family):
    client, server = topology.pods[:2]
    server.redirect("--apply")
    v6 = family == "ip6"
    with server.listen(8080) as app, server.socket(socket.AF_INET6 if v6 else socket.AF_INET) as dial:
        level, option = (socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if v6 else (socket.SOL_IP, IP_TRANSPARENT)
        dial.setsockopt(level, option, 1)
        dial.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
        dial.settimeout(5)
        dial.bind((getattr(client, family), 0))
        peers = []
        thread = threading.Thread(target=lambda: peers.append(answer(app)))
        thread.start()
        dial.connect((getattr(server, family), 8080))
        assert dial.recv(5) == b"hello"
        thread.join(5)
        assert peers == [getattr(client, family)]


def answer(listener):
    connection, peer = listener.accept()
    with connection:
        connection.sendall(b"hello")
    return peer[0].removeprefix("::ffff:")
