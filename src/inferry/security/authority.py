"""The platform's own certificate authority: made at the first start, known to nobody else.

Data flow: home/tls (ca.pem, ca.key, private files) -> `Authority.issue(name)` -> an Identity that lives for days ->
a replica, the gateway or control, which show it to each other. Who is reached over a network that is not safe yet makes
its own key and sends a `request`, which the authority signs.

Certificates of replicas are good for being connected to only, those of control and the gateway for connecting only: a
model that finds its own replica's key can speak for nobody else. Needs the package cryptography (`inferry[ray]`).
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from inferry.errors import InvalidInput, MissingPlugin, UnsafeFile
from inferry.security.files import private_dir, read_private, write_private
from inferry.types.identity import Identity

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

YEARS = 20
LIFE_S = 3 * 86_400.0
RENEW_S = 86_400.0
"""A certificate is good for three days and given anew each day."""

SKEW = datetime.timedelta(minutes=10)  # how far the clocks of two machines may be apart


class Authority:
    """Issues certificates. `folder`: where its own is kept, made when it is not there."""

    def __init__(self, folder: Path) -> None:
        try:
            import cryptography
        except ImportError as error:
            raise MissingPlugin(
                "Certificates need the package cryptography.", help="pip install 'inferry[ray]'"
            ) from error
        del cryptography
        private_dir(folder)
        self._certificate_file, self._key_file = folder / "ca.pem", folder / "ca.key"
        if not self._certificate_file.exists():
            self._make()
        self.pem = read_private(self._certificate_file).decode()
        self._certificate, self._key = self._load()

    def issue(self, name: str, *, connects: bool, life_s: float = LIFE_S) -> Identity:
        """A new key and a certificate for it. `connects`: for who connects to replicas, else for a replica."""
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        return self._identity(name, key.public_key(), connects=connects, life_s=life_s, key=_pem_of(key).decode())

    def sign(self, name: str, request: str) -> Identity:
        """A replica's certificate for the key of a request, whatever name stands there; the Identity has no key.

        Raises InvalidInput when it is no request.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            asked = x509.load_pem_x509_csr(request.encode())
            key = asked.public_key()
        except (ValueError, TypeError) as error:
            raise InvalidInput("That is no request for a certificate.") from error
        if not asked.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidInput("That is no request for a certificate.")
        return self._identity(name, key, connects=False, life_s=LIFE_S, key="")

    def _identity(
        self, name: str, public: EllipticCurvePublicKey, *, connects: bool, life_s: float, key: str
    ) -> Identity:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509.oid import ExtendedKeyUsageOID

        usage = ExtendedKeyUsageOID.CLIENT_AUTH if connects else ExtendedKeyUsageOID.SERVER_AUTH
        issuer = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            _begin(name, self._certificate.subject, public, datetime.timedelta(seconds=life_s))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        text = certificate.public_bytes(Encoding.PEM).decode()
        return Identity(authority=self.pem, certificate=text, key=key)

    def _make(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding

        key = ec.generate_private_key(ec.SECP256R1())
        name = "Inferry platform"
        certificate = (
            _begin(name, None, key.public_key(), datetime.timedelta(days=365 * YEARS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(self._key_file, _pem_of(key))  # the certificate last: with it, both are there
        write_private(self._certificate_file, certificate.public_bytes(Encoding.PEM))

    def _load(self) -> tuple[Certificate, EllipticCurvePrivateKey]:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            certificate = x509.load_pem_x509_certificate(self.pem.encode())
            key = load_pem_private_key(read_private(self._key_file), None)
        except (ValueError, TypeError) as error:
            raise self._broken() from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise self._broken()
        return certificate, key

    def _broken(self) -> UnsafeFile:
        return UnsafeFile(
            f"{self._certificate_file} and {self._key_file.name} beside it do not belong together.",
            help="Remove both: the next start makes new ones, and starts the replicas on other machines anew.",
        )


def _begin(name: str, issuer: Name | None, key: EllipticCurvePublicKey, life: datetime.timedelta) -> CertificateBuilder:
    """A certificate for a key under a name. `issuer` None: it stands for itself."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def request() -> tuple[str, str]:
    """A new key, and a request for a certificate of it, as PEM texts. Needs the package cryptography."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return _pem_of(key).decode(), asked.public_bytes(Encoding.PEM).decode()


def _usage(*, signs: bool) -> KeyUsage:
    """What a key is for: signing certificates, or proving who one is."""
    from cryptography import x509

    others = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, **others)


def _pem_of(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
