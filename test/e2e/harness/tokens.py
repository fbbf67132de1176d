# SPDX-License-Identifier: Apache-2.0
"""Token issuers: a fresh key, its public half as a JWK, tokens signed with it, and servers that publish key sets."""
import base64
import contextlib
import json
import ssl
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .servers import Server, head

CURVES = {"ES256": (ec.SECP256R1, "P-256", 32), "ES384": (ec.SECP384R1, "P-384", 48), "ES512": (ec.SECP521R1, "P-521", 66)}
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def encode(data):
    """base64url without padding; of text, bytes, or anything JSON."""
    if not isinstance(data, bytes):
        data = (data if isinstance(data, str) else json.dumps(data)).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Issuer:
    """Signs with one fresh key of the algorithm's family."""

    def __init__(self, name, algorithm="RS256", kid="k1"):
        self.name, self.algorithm, self.kid = name, algorithm, kid
        if algorithm in CURVES:
            self.key = ec.generate_private_key(CURVES[algorithm][0]())
        elif algorithm == "EdDSA":
            self.key = ed25519.Ed25519PrivateKey.generate()
        else:
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwk(self):
        public = self.key.public_key()
        if self.algorithm in CURVES:
            _, curve, size = CURVES[self.algorithm]
            point = public.public_numbers()
            material = {"kty": "EC", "crv": curve, "x": number(point.x, size), "y": number(point.y, size)}
        elif self.algorithm == "EdDSA":
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
            material = {"kty": "OKP", "crv": "Ed25519", "x": encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
        else:
            numbers = public.public_numbers()
            material = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        return material | {"kid": self.kid, "use": "sig"}

    def jwks(self, *others):
        return json.dumps({"keys": [i.jwk() for i in (self, *others)]})

    def token(self, header=None, lifetime=600, **claims):
        """A token of this issuer; `claims` may override iss, sub, iat and exp (None leaves one out)."""
        now = int(time.time())
        claims = {"iss": self.name, "sub": "alice", "iat": now, "exp": now + lifetime} | claims
        payload = {k: v for k, v in claims.items() if v is not None}
        text = encode(header or {"alg": self.algorithm, "kid": self.kid}) + "." + encode(payload)
        return text + "." + encode(self.sign(text.encode()))

    def sign(self, data):
        if self.algorithm == "EdDSA":
            return self.key.sign(data)
        digest = HASHES[self.algorithm[2:]]()
        if self.algorithm in CURVES:
            r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(digest)))
            size = CURVES[self.algorithm][2]
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if self.algorithm.startswith("PS"):
            return self.key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return self.key.sign(data, padding.PKCS1v15(), digest)


class Publisher(Server):
    """Answers GET with documents: {path: text}, or 404. `status`: answer this instead. `requests`: paths asked for."""

    def __init__(self, pod, port, documents, certificate=None):
        """certificate: (certificate file, key file) makes it https."""
        self.documents, self.status, self.requests = documents, None, []
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
        super().__init__(pod, port)

    def serve(self, connection):
        if self.tls:
            with contextlib.suppress(ssl.SSLError):
                return self.answer(self.tls.wrap_socket(connection, server_side=True))
        else:
            self.answer(connection)

    def answer(self, connection):
        with contextlib.closing(connection), connection.makefile("rb") as stream:
            path = stream.readline().split()[1].decode()
            while stream.readline().strip():
                pass
            self.requests.append(path)
            text = self.documents.get(path)
            status = self.status or (200 if text is not None else 404)
            body = (text or "nothing").encode()
            connection.sendall(head(status, ("content-length", str(len(body))), ("connection", "close")) + body)
