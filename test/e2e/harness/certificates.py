# SPDX-License-Identifier: Apache-2.0
"""A mesh's root and workload certificates, made with the openssl program, and contexts for Python's own TLS."""
import pathlib
import ssl
import subprocess

P256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")


class Authority:
    """A self-signed root in `place`: ca.pem and ca-key.pem."""

    def __init__(self, place, name="mesh"):
        self.place = pathlib.Path(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self.cert, self.key = self.place / "ca.pem", self.place / "ca-key.pem"
        _openssl("req", "-x509", *P256, "-days", 30, "-subj", f"/O={name}", "-keyout", self.key, "-out", self.cert,
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def leaf(self, identity, *more_sans):
        """Files (certificate, key) of a leaf for a SPIFFE id. more_sans: e.g. `DNS:a` or a second `URI:…`."""
        stem = identity.replace("spiffe://", "").replace("/", "_")
        cert, key = self.place / f"{stem}.pem", self.place / f"{stem}.key"
        if not cert.exists():
            sans = ",".join([f"URI:{identity}", *more_sans])
            _openssl("req", "-x509", "-CA", self.cert, "-CAkey", self.key, *P256, "-days", 1, "-subj", "/",
                     "-keyout", key, "-out", cert, "-addext", f"subjectAltName=critical,{sans}",
                     "-addext", "basicConstraints=critical,CA:FALSE",
                     "-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=clientAuth,serverAuth")
        return cert, key

    def revoke(self, path, *revoked):
        """Replaces the file with this root's revocation list: identities of leaves made here, or serial numbers."""
        lines = []
        for each in revoked:
            number = each if isinstance(each, int) else self.serial(each)
            digits = f"{number:X}"
            lines.append(f"R\t400101000000Z\t200101000000Z\t{digits.zfill(len(digits) + len(digits) % 2)}\tunknown\t/\n")
        (self.place / "index.txt").write_text("".join(lines))
        (self.place / "crl.cnf").write_text(
            f"[ca]\ndefault_ca = one\n[one]\ndatabase = {self.place}/index.txt\ndefault_md = sha256\n")
        new = pathlib.Path(f"{path}.new")
        _openssl("ca", "-config", self.place / "crl.cnf", "-gencrl", "-keyfile", self.key, "-cert", self.cert,
                 "-crldays", 1, "-out", new)
        new.replace(path)

    def serial(self, identity):
        cert, _ = self.leaf(identity)
        done = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-serial"], capture_output=True, text=True, check=True)
        return int(done.stdout.strip().partition("=")[2], 16)

    def client_context(self, identity=None):
        """TLS 1.3, ALPN h2, this root, no name check (SPIFFE has none); identity None: no client certificate."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT, identity)

    def server_context(self, identity):
        return self._context(ssl.PROTOCOL_TLS_SERVER, identity)

    def _context(self, protocol, identity):
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.cert)
        context.set_alpn_protocols(["h2"])
        if identity:
            context.load_cert_chain(*self.leaf(identity))
        return context
