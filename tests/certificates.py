"""Certificates made for a test: an authority of its own, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HOUR = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    private_key: bytes

    def write(self, folder: Path) -> Path:
        """As `tls.crt` and `tls.key` of a folder, which is made; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tls.crt").write_bytes(self.certificate)
        (folder / "tls.key").write_bytes(self.private_key)
        return folder


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "authority") -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        built = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _HOUR)
            .not_valid_after(now + 24 * _HOUR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = built.public_bytes(serialization.Encoding.PEM)

    def write(self, file: Path) -> Path:
        """Its own certificate, as others trust it; returns the file."""
        file.write_bytes(self.certificate)
        return file

    def sign(self, *names: str, until: datetime.timedelta = _HOUR) -> Pair:
        """A certificate for names and addresses, good from two hours ago `until` so long from now."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        built = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - 2 * _HOUR)
            .not_valid_after(now + until)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Pair(built.public_bytes(serialization.Encoding.PEM), secret)

    def server(self, folder: Path, *names: str, client_ca: Authority | None = None) -> ssl.SSLContext:
        """TLS of a server by these names; with `client_ca` it wants a certificate of that authority."""
        self.sign(*names).write(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        if client_ca is not None:
            context.load_verify_locations(cadata=client_ca.certificate.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, folder: Path | None = None) -> ssl.SSLContext:
        """TLS of a client that trusts this authority alone, and shows the certificate of a folder."""
        context = ssl.create_default_context(cadata=self.certificate.decode())
        if folder is not None:
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
