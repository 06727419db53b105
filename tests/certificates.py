"""Certificates for servers and clients on 127.0.0.1."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = datetime.timedelta(hours=1)


class Authority:
    """An authority. Its certificate is ``NAME.pem`` in the folder."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        self._write(name, self._key, self._subject, HOUR)

    def issue(
        self,
        name: str,
        *,
        common_name: str | None,
        expires: datetime.timedelta = HOUR,
        address: str = "127.0.0.1",
    ) -> pathlib.Path:
        """Write a certificate ``NAME.pem`` and its key ``NAME.key``.

        :param expires: from now.
        :param address: of the server.
        :returns: the path of the certificate.
        """
        subject = x509.Name([]) if common_name is None else _name(common_name)
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, subject, expires, address)

    def _write(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        expires: datetime.timedelta,
        address: str = "127.0.0.1",
    ) -> pathlib.Path:
        now = datetime.datetime.now(datetime.UTC)
        is_authority = key is self._key
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * HOUR)
            .not_valid_after(now + expires)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
            .add_extension(names, False)
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        path.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
