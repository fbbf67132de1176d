# SPDX-License-Identifier: Apache-2.0
"""Configuration an operator writes: edits while it runs, mistakes, and everything that keeps a process from starting."""
import re

import pytest

from harness import objects as k8s
from harness import standard
from harness.process import BINARY, run
from harness.servers import Echo, read_exactly
from harness.standard import VIP


@pytest.fixture(scope="module")
def mesh(new_mesh):
    mesh = standard.build(new_mesh, waypoint=False)
    with Echo(mesh.far, 9000):
        yield mesh


def reaches(mesh):
    with mesh.client.connect(VIP["far"][0], 9000) as s:
        try:
            s.sendall(b"ping")
            return s.recv(4) == b"ping"
        except ConnectionError:
            return False


DENY = k8s.authorization("demo/nobody", "DENY", [{}], {"app": "far"})


def test_a_good_edit_takes_effect_without_a_restart(mesh):
    assert reaches(mesh)
    with mesh.edited(DENY):
        assert not reaches(mesh)
    assert reaches(mesh)


@pytest.mark.parametrize("bad, words", [
    ("kind: [", []), (k8s.text([{"apiVersion": "v1", "kind": "Service", "metadata": {}}]), ["name"]),
    (k8s.text([k8s.authorization("demo/typo", "DENY", [{"form": []}])]), ["form"]),
    (k8s.text([k8s.authorization("demo/action", "REFUSE", [{}])]), ["REFUSE"])])
def test_a_bad_edit_keeps_the_last_good_configuration_and_says_so_once(mesh, bad, words):
    with mesh.edited(DENY):
        marks = {node: proxy.mark() for node, proxy in mesh.ztunnels.items()}
        k8s.write(mesh.config, k8s.text(mesh.base()) + "---\n" + bad)
        for node, proxy in mesh.ztunnels.items():
            proxy.wait_line(r"mesh\.yaml:\d+: ", since=marks[node])
        assert not reaches(mesh)
        for node, proxy in mesh.ztunnels.items():
            errors = [x for x in proxy.lines.since(marks[node]) if "\terror\t" in x and "\taccess\t" not in x]
            assert len(errors) == 1, errors
            said = "\n".join(proxy.lines.since(marks[node]))
            assert all(word in said for word in words), said
    assert reaches(mesh)


def test_a_service_that_appears_is_reached_and_one_that_goes_is_not(mesh):
    with mesh.edited(k8s.service("demo/new", ["10.88.0.90"], {"app": "far"}, standard.PORTS)):
        with mesh.client.connect("10.88.0.90", 9000) as s:
            s.sendall(b"ping")
            assert read_exactly(s, 4) == b"ping"


# What keeps a process from starting: an exit status and one line.

def start(mesh, *arguments, pod=None, prefix=(), env=None):
    """Runs ambientd where it has to fail at once, in a pod that no proxy serves."""
    return run([*prefix, BINARY, *arguments], (pod or mesh.stranger).netns, env=env, timeout=10)


def one_error(done, *words):
    assert done.returncode not in (0, None) and done.returncode < 128, f"{done.returncode}: {done.stderr}"
    said = done.stdout + done.stderr
    assert len(re.findall(r"(?m)\terror\t|^ambientd: |^error: ", said)) == 1, said
    assert all(word in said for word in words), said


def flags(mesh, config=None):
    return ["--mode=ztunnel", "--workload=demo/stranger-0/stranger", f"--config={config or mesh.config}", *mesh.identity_flags]


@pytest.mark.parametrize("text, words", [
    ("kind: [\n", ["bad.yaml:"]), ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", ["bad.yaml:"]),
    (k8s.text([k8s.peer_authentication("demo/x", "STRONG")]), ["bad.yaml:", "STRONG"]),
    (k8s.text([k8s.authorization("demo/x", "DENY", [{"from": [{"source": {"namespaces": ["a"]}, "sauce": 1}]}])]), ["bad.yaml:", "sauce"]),
    ("workloads:\n- name: a\n  workloadIps: [10.0.0.1]\n  namespace: a\n  services: {}\n  colour: blue\n", ["bad.yaml:", "colour"])])
def test_a_file_that_is_wrong(mesh, tmp_path, text, words):
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    one_error(start(mesh, *flags(mesh, bad)), *words)
    checked = run([BINARY, "--check", f"--config={bad}"])
    assert checked.returncode != 0 and all(w in checked.stdout + checked.stderr for w in words)


def test_check_says_that_a_good_file_is_good(mesh):
    done = run([BINARY, "--check", f"--config={mesh.config}"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_is_not_there(mesh):
    one_error(start(mesh, *flags(mesh, "/nowhere/mesh.yaml")), "/nowhere/mesh.yaml")


def test_a_certificate_that_is_not_there(mesh):
    arguments = flags(mesh)[:-2] + ["--ca-cert=/nowhere/ca.pem", "--ca-key=/nowhere/ca-key.pem"]
    one_error(start(mesh, *arguments), "/nowhere/ca")


def test_a_certificate_that_is_no_certificate(mesh, tmp_path):
    (tmp_path / "ca.pem").write_text("hello\n")
    arguments = flags(mesh)[:-2] + [f"--ca-cert={tmp_path / 'ca.pem'}", f"--ca-key={mesh.authority.key}"]
    one_error(start(mesh, *arguments), "ca.pem")


@pytest.mark.parametrize("port", [15008, 15001, 15006, 15021, 15020])
def test_a_port_in_use(mesh, port):
    with mesh.stranger.listen(port):
        one_error(start(mesh, *flags(mesh)), str(port))


def test_a_pods_namespace_that_is_not_there(mesh):
    arguments = ["--mode=ztunnel", "--pod=demo/x/x=/run/netns/nowhere", f"--config={mesh.config}", *mesh.identity_flags]
    one_error(start(mesh, *arguments), "/run/netns/nowhere")


def test_without_net_admin(mesh):
    prefix = ["setpriv", "--bounding-set=-net_admin,-net_raw,-sys_admin",
              "--inh-caps=-net_admin,-net_raw,-sys_admin"]
    one_error(start(mesh, *flags(mesh), prefix=prefix), "NET_ADMIN")


@pytest.mark.parametrize("arguments, words", [
    (["--mode=sidecar"], ["sidecar"]), (["--colour=blue"], ["--colour"]),
    (["--mode=ztunnel", "--workload=demo/only-two"], ["demo/only-two"]),
    (["--mode=ztunnel", "--pod=demo/a/b"], ["demo/a/b"])])
def test_a_flag_that_is_wrong(mesh, arguments, words):
    done = start(mesh, *arguments)
    assert done.returncode not in (0, None) and done.returncode < 128
    assert all(word in done.stdout + done.stderr for word in words)


def test_an_environment_variable_that_is_wrong(mesh):
    one_error(start(mesh, *flags(mesh), env={"POOL_MAX_STREAMS_PER_CONNECTION": "many"}), "POOL_MAX_STREAMS_PER_CONNECTION=many")
