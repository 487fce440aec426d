"""Keys, certificates, tokens and kubeconfigs of one cluster, made anew for each. Called by control.py and node.py.

They are worth nothing outside this machine and this run, and lie in the cluster's own folder.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

ADMIN = "admin"
NODE = "node1"
USERS = {  # user -> groups
    ADMIN: "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    f"system:node:{NODE}": "system:nodes",
}
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Credentials:
    """folder: holds ca.crt, server.crt/.key, client.crt/.key (the API server's to a kubelet), sa.key, tokens.csv."""

    folder: Path
    tokens: dict[str, str]

    def kubeconfig(self, user: str, server: str) -> Path:
        """The file with which ``user`` reaches ``server``."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        cluster = {"server": server, "certificate-authority": str(self.folder / "ca.crt")}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
            "current-context": "testbed",
        }
        path.write_text(json.dumps(content, indent=1))
        return path


def make_credentials(folder: Path, addresses: Sequence[str]) -> Credentials:
    """``addresses``: those of the API server."""
    folder.mkdir(mode=0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("testbed-ca", ca_key, None, ca_key, [])
    _write(folder, "ca", ca)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder, "server", _certificate("kube-apiserver", key, ca, ca_key, addresses), key)
    key = ec.generate_private_key(ec.SECP256R1())
    client = _certificate("kube-apiserver-kubelet-client", key, ca, ca_key, [], organization="system:masters")
    _write(folder, "client", client, key)
    _write(folder, "sa", None, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    tokens = {user: secrets.token_hex(16) for user in USERS}
    lines = [f'{tokens[user]},{user},{user},"{groups}"\n' for user, groups in USERS.items()]
    (folder / "tokens.csv").write_text("".join(lines))
    return Credentials(folder, tokens)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate | None,
    ca_key: ec.EllipticCurvePrivateKey,
    addresses: Sequence[str],
    organization: str | None = None,
) -> x509.Certificate:
    """A certificate of ``key``; without ``ca`` it is the authority itself."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(ca.subject if ca else x509.Name(names))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 7 * _DAY)
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if addresses:
        known: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName("kubernetes.default.svc")]
        known += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(known), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _write(
    folder: Path,
    name: str,
    certificate: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
) -> None:
    if certificate:
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    if key:
        pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        if isinstance(key, rsa.RSAPrivateKey):
            pem = serialization.PrivateFormat.TraditionalOpenSSL
        path = folder / f"{name}.key"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, plain))
        path.chmod(0o600)
