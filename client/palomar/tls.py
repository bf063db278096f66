"""How a client makes sure of the server's identity, and proves its own.

    Client("tls://relay.example:443", tls=Tls(ca_cert_files=["ca.pem"]))

In: names of files with certificates and keys. Out: what gRPC needs for a channel. The files are
checked before anything is sent, so that what is wrong with them is told by name; what goes wrong
when the two sides meet, `handshake` tells.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palomar.errors import InvalidRequest

if TYPE_CHECKING:
    import grpc

    from palomar.target import Target

FilePath = str | os.PathLike[str]

# Where systems keep the authorities they trust, the same places that Go's crypto/x509 looks in.
# gRPC would use a list of its own, which does not have those that were added to this machine.
_SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
# Either names a file of authorities: gRPC's own variable, which it reads itself, and OpenSSL's.
_GRPC_AUTHORITIES_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_AUTHORITIES_VARIABLE = "SSL_CERT_FILE"


@dataclass(frozen=True, slots=True)
class Tls:
    """What a connection over TLS needs to know.

    Attributes:
        ca_cert_files: PEM files of the authorities that may vouch for the server; without any,
            those this machine trusts.
        client_cert_file: PEM file of the client's certificate, where the server wants one.
        client_key_file: PEM file of its private key, not encrypted.
        server_name: The name the server's certificate must bear; empty for the host dialled.
        allow_insecure: Whether to believe whichever server answers first. Its certificate is
            fetched when the channel is opened, and from then on exactly that one is trusted. Not
            safe from someone in between, who could answer first.

    Raises:
        InvalidRequest: A client certificate without its key, or the other way round.
    """

    ca_cert_files: Sequence[FilePath] = ()
    client_cert_file: FilePath = ""
    client_key_file: FilePath = ""
    server_name: str = ""
    allow_insecure: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.ca_cert_files, str | os.PathLike):
            raise InvalidRequest(
                f"ca_cert_files={self.ca_cert_files!r} is one path; write a list of paths"
            )
        if bool(self.client_cert_file) != bool(self.client_key_file):
            given, lacking = (
                ("certificate", "key") if self.client_cert_file else ("key", "certificate")
            )
            raise InvalidRequest(
                f"a client {given} needs its {lacking}: give both --tls-client-cert-file and "
                "--tls-client-key-file, or neither"
            )

    def expected_name(self, target: "Target") -> str:
        """The name that the certificate of `target` must bear."""
        return self.server_name or target.host

    def credentials(
        self, target: "Target", timeout_s: float
    ) -> tuple["grpc.ChannelCredentials", tuple[tuple[str, str], ...]]:
        """Make what a channel to `target` needs.

        Args:
            target: The server; it is only talked to here if `allow_insecure`.
            timeout_s: How long that may take.

        Returns:
            The credentials, and channel options that go with them.

        Raises:
            InvalidRequest: A file cannot be read, or is not what it should be.
            ServerUnavailable: With `allow_insecure`, the server's certificate cannot be had.
        """
        import grpc  # noqa: PLC0415 - loaded by the channel anyway; the flags need not wait for it

        name = self.server_name
        authorities: bytes | None
        key, chain = self._client_pair()
        if self.allow_insecure:
            from palomar.handshake import fetch_certificate  # noqa: PLC0415 - few need it

            certificate = fetch_certificate(target, self, timeout_s)
            # Whatever it is called, it is the one we were told to trust.
            authorities, name = certificate.pem.encode(), certificate.name_for(name or target.host)
        else:
            authorities = self._authorities()
        options = (("grpc.ssl_target_name_override", name),) if name else ()
        return grpc.ssl_channel_credentials(authorities, key, chain), options

    def _authorities(self) -> bytes | None:
        """Certificates of those who may vouch; `None` for gRPC's own list."""
        if self.ca_cert_files:
            return b"\n".join(_authority(path) for path in self.ca_cert_files)
        if os.environ.get(_GRPC_AUTHORITIES_VARIABLE):
            return None
        if named := os.environ.get(_AUTHORITIES_VARIABLE):
            return _authority(named)
        for path in _SYSTEM_AUTHORITIES:
            if os.access(path, os.R_OK):
                return Path(path).read_bytes()
        return None

    def _client_pair(self) -> tuple[bytes | None, bytes | None]:
        if not self.client_cert_file:
            return None, None
        import ssl  # noqa: PLC0415 - few need it

        chain = _read(self.client_cert_file, "client certificate")
        key = _read(self.client_key_file, "client key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            # Checks that both are what they should be and belong together. Without a password at
            # hand OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(self.client_cert_file, self.client_key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            raise InvalidRequest(
                f"the client certificate {os.fspath(self.client_cert_file)} and the key "
                f"{os.fspath(self.client_key_file)} cannot be used together "
                f"({_openssl_reason(error)}); both must be PEM, of one pair, and the key not "
                "encrypted"
            ) from error
        return key, chain


def _authority(path: FilePath) -> bytes:
    import ssl  # noqa: PLC0415 - few need it

    pem = _read(path, "CA certificate")
    try:
        # Comments between the certificates may be in any encoding.
        text = pem.decode("ascii", errors="ignore")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidRequest(
            f"the CA certificate {os.fspath(path)} has no certificate that can be read "
            f"({_openssl_reason(error)}); it must be PEM"
        ) from error
    return pem


def _read(path: FilePath, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"cannot read the {what} {os.fspath(path)}: {error.strerror or error}"
        ) from error


def _openssl_reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if isinstance(reason, str) else "nothing of the kind"
