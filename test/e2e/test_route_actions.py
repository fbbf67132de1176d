# SPDX-License-Identifier: Apache-2.0
"""What an HTTPRoute does with a request beside choosing its backend: contract/waypoint.md §2.1, §2.3, §3.5."""
import contextlib
import json

import pytest

from harness import objects as k8s
from harness import standard
from harness.servers import Origin
from harness.standard import VIP

WEB = VIP["web"][0]
TO_WEB = [{"name": "web", "port": 80}]


@pytest.fixture(scope="module")
def mesh(new_mesh):
    mesh = standard.build(new_mesh)
    mesh.origins = [Origin(pod, 8080) for pod in (mesh.near, mesh.far)]
    yield mesh
    for origin in mesh.origins:
        origin.close()


@contextlib.contextmanager
def ruled(mesh, rule):
    with mesh.edited(k8s.route("demo/web", "web", [rule])):
        yield


def get(mesh, path, *flags):
    """(status, headers, body) of one request."""
    return mesh.client.get(f"http://{WEB}{path}", *flags)


@pytest.mark.parametrize("redirect, status, location", [
    ({"hostname": "new.example"}, 302, "http://new.example/old/x?q=1"),
    ({"scheme": "https", "statusCode": 301}, 301, f"https://{WEB}/old/x?q=1"),
    ({"hostname": "new.example", "port": 8443, "scheme": "https", "statusCode": 308}, 308, "https://new.example:8443/old/x?q=1"),
    ({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}, "statusCode": 307}, 307, f"http://{WEB}/new/x?q=1"),
    ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/all"}, "statusCode": 303}, 303, f"http://{WEB}/all?q=1")])
def test_a_redirect_names_where_to_ask(mesh, redirect, status, location):
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
            "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
    with ruled(mesh, rule):
        got, headers, body = get(mesh, "/old/x?q=1")
    assert (got, headers["location"], body) == (status, location, "")


def test_a_rewrite_changes_path_and_host_and_keeps_the_old_path(mesh):
    rewrite = {"hostname": "inner.example", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}], "backendRefs": TO_WEB,
            "filters": [{"type": "URLRewrite", "urlRewrite": rewrite}]}
    with ruled(mesh, rule):
        status, _, body = get(mesh, "/v1/x?q=1")
    seen = json.loads(body)
    assert (status, seen["path"], seen["headers"]["host"]) == (200, "/v2/x?q=1", "inner.example")
    assert seen["headers"]["x-envoy-original-path"] == "/v1/x?q=1"


def test_a_preflight_is_answered_and_an_allowed_origin_is_named(mesh):
    cors = {"allowOrigins": ["https://*.shop.example"], "allowMethods": ["PUT"], "allowHeaders": ["x-a"], "maxAge": 30}
    origin = ["-H", "Origin: https://a.shop.example"]
    preflight = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"]
    with ruled(mesh, {"backendRefs": TO_WEB, "filters": [{"type": "CORS", "cors": cors}]}):
        status, headers, body = get(mesh, "/", *preflight, *origin)
        assert (status, body) == (200, "")
        assert headers["access-control-allow-origin"] == "https://a.shop.example"
        assert headers["access-control-allow-methods"] == "PUT" and headers["access-control-max-age"] == "30"
        _, headers, body = get(mesh, "/", *origin)
        assert headers["access-control-allow-origin"] == "https://a.shop.example" and json.loads(body)["name"]
        for flags in (preflight, []):
            status, headers, _ = get(mesh, "/", *flags, "-H", "Origin: https://evil.example")
            assert status == 200 and "access-control-allow-origin" not in headers


def test_a_code_that_the_route_retries_is_asked_again_and_the_last_answer_counts(mesh):
    rule = {"backendRefs": TO_WEB, "retry": {"codes": [503], "attempts": 2, "backoff": "1ms"}}
    with ruled(mesh, rule):
        assert get(mesh, "/status/503")[0] == 503
        assert get(mesh, "/status/500")[0] == 500
    asked = [request["path"] for origin in mesh.origins for request in origin.requests]
    assert (asked.count("/status/503"), asked.count("/status/500")) == (3, 1)
