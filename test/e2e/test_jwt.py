# SPDX-License-Identifier: Apache-2.0
"""RequestAuthentication at the waypoint (contract/waypoint.md §2.6): real tokens, policy on them, keys that come and go."""
import json
import time

import pytest

from harness import objects as k8s
from harness import standard
from harness.servers import Origin
from harness.standard import VIP
from harness.tokens import Issuer, Publisher, encode

WEB = VIP["web"][0]
ISSUER = "https://issuer.example"
RSA = Issuer(ISSUER, "RS256", "rsa")
EC = Issuer(ISSUER, "ES256", "ec")
ED = Issuer(ISSUER, "EdDSA", "ed")
SECOND = Issuer("second@example", "PS384", "ps")


def authentication(*rules, name="jwt", service="web"):
    return k8s.request_authentication(f"demo/{name}", rules, service_name=service)


def rule(**members):
    return {"issuer": ISSUER, "jwks": RSA.jwks(EC, ED)} | members


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.env["SSL_CERT_FILE"] = str(new_mesh.authority.cert)  # what the system trusts
    mesh = standard.build(new_mesh)
    origins = [Origin(pod, 8080) for pod in (mesh.near, mesh.far)]
    yield mesh
    for origin in origins:
        origin.close()


def get(mesh, *flags, path="/", token=None):
    """(status, headers, body) of one curl."""
    bearer = ("-H", f"authorization: Bearer {token}") if token else ()
    return mesh.client.get(f"http://{WEB}{path}", *bearer, *flags)


def answer(mesh, token=None, *flags, path="/"):
    status, _, body = get(mesh, *flags, token=token, path=path)
    return status if status == 200 else (status, body)


def seen(mesh, token, *flags, path="/"):
    """What the origin saw of a request that passed."""
    status, _, body = get(mesh, *flags, token=token, path=path)
    assert status == 200, body
    return json.loads(body)


def test_a_good_token_passes_and_so_does_none(mesh):
    with mesh.edited(authentication(rule())):
        for issuer in (RSA, EC, ED):
            request = seen(mesh, issuer.token())
            assert "authorization" not in request["headers"]
        assert answer(mesh) == 200


def test_a_token_that_is_not_believed_is_refused_with_the_reason(mesh):
    stranger = Issuer(ISSUER, "RS256", "rsa")
    confused = encode({"alg": "HS256", "kid": "rsa"}) + "." + encode({"iss": ISSUER}) + "." + encode(b"x" * 32)
    with mesh.edited(authentication(rule(audiences=["shop"]))):
        good = {"aud": ["x", "https://shop/"]}
        assert answer(mesh, RSA.token(**good)) == 200
        assert answer(mesh, RSA.token(lifetime=-30, **good)) == 200  # within the skew
        assert answer(mesh, RSA.token(lifetime=-90, **good)) == (401, "Jwt is expired")
        assert answer(mesh, RSA.token(nbf=int(time.time()) + 90, **good)) == (401, "Jwt not yet valid")
        assert answer(mesh, RSA.token(aud="bank")) == (403, "Audiences in Jwt are not allowed")
        assert answer(mesh, RSA.token(iss="https://other")) == (401, "Jwt issuer is not configured")
        assert answer(mesh, stranger.token(**good)) == (401, "Jwt verification fails")
        unknown = {"alg": "RS256", "kid": "x"}
        assert answer(mesh, RSA.token(unknown, **good)) == (401, "Jwks doesn't have key to match kid or alg from Jwt")
        assert answer(mesh, RSA.token({"alg": "none"}, **good)) == (401, "Jwt header [alg] is not supported")
        assert answer(mesh, "junk")[1].startswith("Jwt is not in the form of Header.Payload.Signature")
        assert answer(mesh, confused)[0] == 403 or answer(mesh, confused)[1] == "Jwt verification fails"


def test_the_refusal_has_a_challenge_and_a_line_in_the_log(mesh):
    waypoint = mesh.waypoints["waypoint-0"]
    with mesh.edited(authentication(rule())):
        mark = waypoint.mark()
        status, headers, body = get(mesh, path="/a?b=c", token=RSA.token(lifetime=-100))
        assert (status, body, headers["content-type"]) == (401, "Jwt is expired", "text/plain")
        assert headers["www-authenticate"] == f'Bearer realm="http://{WEB}/a?b=c", error="invalid_token"'
        line = waypoint.request(since=mark, path="/a?b=c")
        assert (line["code"], line["flags"], line["details"]) == ("401", "-", "jwt_authn_access_denied{Jwt_is_expired}")


def test_every_token_of_a_request_must_be_good(mesh):
    bad = Issuer(ISSUER, "RS256", "rsa").token()
    with mesh.edited(authentication(rule())):
        assert answer(mesh, RSA.token(), "-H", f"authorization: Bearer {bad}") == (401, "Jwt verification fails")
        assert answer(mesh, RSA.token(), path=f"/?access_token={bad}") == (401, "Jwt verification fails")
        assert answer(mesh, path=f"/?access_token={bad}") == (401, "Jwt verification fails")
        assert answer(mesh, path=f"/?access_token={RSA.token()}") == 200


def test_tokens_are_found_where_the_rule_says(mesh):
    with mesh.edited(authentication(rule(fromHeaders=[{"name": "X-Token", "prefix": "T "}], fromParams=["t"],
                                         fromCookies=["session"], forwardOriginalToken=True))):
        bad = RSA.token(lifetime=-100)
        assert answer(mesh, bad) == 200  # Authorization is not one of them
        assert answer(mesh, None, "-H", f"x-token: T {bad}")[0] == 401
        assert answer(mesh, None, "-H", f"cookie: a=b; session={bad}")[0] == 401
        assert answer(mesh, path=f"/?t={bad}")[0] == 401
        good = RSA.token()
        assert seen(mesh, None, "-H", f"x-token: T {good}")["headers"]["x-token"] == f"T {good}"


def test_claims_go_to_headers_that_a_client_cannot_set(mesh):
    outputs = {"outputPayloadToHeader": "x-payload", "outputClaimToHeaders": [
        {"header": "x-sub", "claim": "sub"}, {"header": "x-deep", "claim": "a.b"}, {"header": "x-list", "claim": "l"},
        {"header": "x-evil", "claim": "evil"}]}
    forged = [x for name in ("x-payload", "X-Sub", "x-deep") for x in ("-H", f"{name}: forged")]
    with mesh.edited(authentication(rule(**outputs))):
        token = RSA.token(a={"b": 7}, l=["x"], evil="a\r\nx-more: 1")
        headers = seen(mesh, token, *forged)["headers"]
        assert headers["x-payload"] == token.split(".")[1] and headers["x-sub"] == "alice" and headers["x-deep"] == "7"
        assert not {"x-list", "x-evil", "x-more"} & set(headers)
        assert not {"x-payload", "x-sub", "x-deep"} & set(seen(mesh, None, *forged)["headers"])


def test_policy_sees_the_principal_and_the_claims(mesh):
    rules = [{"from": [{"source": {"requestPrincipals": [f"{ISSUER}/*"]}}], "to": [{"operation": {"paths": ["/any"]}}]},
             {"from": [{"source": {"requestPrincipals": [f"{ISSUER}/alice"]}}], "to": [{"operation": {"paths": ["/alice"]}}]},
             {"to": [{"operation": {"paths": ["/admin"]}}],
              "when": [{"key": "request.auth.claims[realm][roles]", "values": ["admin"]}]},
             {"to": [{"operation": {"paths": ["/write"]}}],
              "when": [{"key": "request.auth.claims[scope]", "values": ["write"]}]},
             {"to": [{"operation": {"paths": ["/healthz"]}}]}]
    with mesh.edited(authentication(rule()), k8s.authorization("demo/tokens", "ALLOW", rules, service_name="web")):
        denied = (403, "RBAC: access denied")
        assert answer(mesh, path="/any") == denied
        assert answer(mesh, path="/healthz") == 200
        assert answer(mesh, EC.token(sub="bob"), path="/any") == 200
        assert answer(mesh, EC.token(sub=None), path="/any") == denied
        assert answer(mesh, EC.token(sub="bob"), path="/alice") == denied
        assert answer(mesh, EC.token(), path="/alice") == 200
        assert answer(mesh, EC.token(realm={"roles": ["dev", "admin"]}), path="/admin") == 200
        assert answer(mesh, EC.token(realm={"roles": ["dev"]}), path="/admin") == denied
        assert answer(mesh, EC.token(scope="read write"), path="/write") == 200
        assert answer(mesh, EC.token(scope="read overwrite"), path="/write") == denied
        assert answer(mesh, EC.token(lifetime=-100), path="/healthz") == (401, "Jwt is expired")


def test_several_rules_each_believe_their_own_issuer(mesh):
    second = {"issuer": SECOND.name, "jwks": SECOND.jwks()}
    with mesh.edited(authentication(rule()), authentication(second, name="more")):
        assert answer(mesh, RSA.token()) == 200
        assert answer(mesh, SECOND.token()) == 200
        assert answer(mesh, Issuer("third", "RS256").token()) == (401, "Jwt issuer is not configured")
        assert answer(mesh, RSA.token(iss=SECOND.name))[0] == 401  # signed by the wrong one


def test_a_cors_preflight_needs_no_token(mesh):
    with mesh.edited(authentication(rule())):
        preflight = ("-X", "OPTIONS", "-H", "origin: https://a", "-H", "access-control-request-method: GET")
        assert answer(mesh, "junk", *preflight) == 200
        assert answer(mesh, "junk", "-X", "OPTIONS")[0] == 401


# Keys that are fetched.

@pytest.fixture
def publisher(mesh):
    mesh.topology.names({"keys.demo.svc.cluster.local": [mesh.far.ip]})
    with Publisher(mesh.far, 8085, {"/jwks": RSA.jwks()}) as publisher:
        yield publisher


def remote(path="/jwks", **members):
    return {"issuer": ISSUER, "jwksUri": f"http://keys.demo.svc.cluster.local:8085{path}"} | members


def test_keys_are_fetched_once_and_not_for_each_request(mesh, publisher):
    with mesh.edited(authentication(remote())):
        assert [answer(mesh, RSA.token()) for _ in range(5)] == [200] * 5
    assert publisher.requests == ["/jwks"]


def test_the_issuers_discovery_document_leads_to_its_keys(mesh, publisher):
    base = "http://keys.demo.svc.cluster.local:8085"
    publisher.documents["/.well-known/openid-configuration"] = json.dumps({"issuer": base, "jwks_uri": f"{base}/jwks"})
    with mesh.edited(authentication({"issuer": base})):
        assert answer(mesh, RSA.token(iss=base)) == 200
    assert publisher.requests == ["/.well-known/openid-configuration", "/jwks"]


def test_without_keys_every_token_is_refused_until_they_come(mesh, publisher):
    publisher.status = 500
    waypoint, mark = mesh.waypoints["waypoint-0"], mesh.waypoints["waypoint-0"].mark()
    with mesh.edited(authentication(remote())):
        assert answer(mesh, RSA.token()) == (401, "Jwks remote fetch is failed")
        assert answer(mesh) == 200
        waypoint.wait_line("no keys, its tokens are refused", since=mark)
        publisher.status = None
        waypoint.wait_line("keys fetched", since=mark, timeout=10)
        assert answer(mesh, RSA.token()) == 200


@pytest.mark.limit(60)
def test_rotated_keys_are_fetched_when_a_token_names_one(mesh, publisher):
    waypoint, mark = mesh.waypoints["waypoint-0"], mesh.waypoints["waypoint-0"].mark()
    fresh = Issuer(ISSUER, "RS256", "fresh")
    with mesh.edited(authentication(remote())):
        assert answer(mesh, RSA.token()) == 200
        waypoint.wait_line("keys fetched", since=mark)
        mark = waypoint.mark()
        publisher.documents["/jwks"] = fresh.jwks()
        assert answer(mesh, fresh.token())[0] == 401  # and asks for the new ones, ten seconds after the last time
        waypoint.wait_line("keys fetched", since=mark, timeout=20)
        assert answer(mesh, fresh.token()) == 200
        assert answer(mesh, RSA.token())[0] == 401
        mark, publisher.status = waypoint.mark(), 503
        assert answer(mesh, Issuer(ISSUER, "RS256", "another").token())[0] == 401
        waypoint.wait_line("the last good ones stay", since=mark, timeout=20)
        assert answer(mesh, fresh.token()) == 200


def test_nothing_is_fetched_from_the_waypoint_itself_or_its_link(mesh):
    waypoint = mesh.waypoints["waypoint-0"]
    for place in ("127.0.0.1:15000/config_dump", "169.254.169.254/latest", "localhost:15000/config_dump"):
        mark = waypoint.mark()
        with mesh.edited(authentication({"issuer": ISSUER, "jwksUri": f"http://{place}"})):
            assert answer(mesh, RSA.token()) == (401, "Jwks remote fetch is failed")
            waypoint.wait_line("nothing is fetched from those", since=mark)


def test_keys_come_over_https_from_whom_the_systems_roots_vouch_for(mesh):
    names = {name: [mesh.far.ip] for name in ("secure.example", "other.example")}
    mesh.topology.names(names)
    certificate = mesh.authority.leaf("spiffe://cluster.local/ns/demo/sa/keys", "DNS:secure.example")
    waypoint = mesh.waypoints["waypoint-0"]
    with Publisher(mesh.far, 8443, {"/jwks": RSA.jwks()}, certificate) as publisher:
        with mesh.edited(authentication({"issuer": ISSUER, "jwksUri": "https://secure.example:8443/jwks"})):
            assert answer(mesh, RSA.token()) == 200
        assert publisher.requests == ["/jwks"]
        mark = waypoint.mark()
        with mesh.edited(authentication({"issuer": ISSUER, "jwksUri": "https://other.example:8443/jwks"})):
            assert answer(mesh, RSA.token()) == (401, "Jwks remote fetch is failed")
            waypoint.wait_line("certificate verify failed", since=mark)
        assert publisher.requests == ["/jwks"]
