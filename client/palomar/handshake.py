"""What goes wrong when client and server meet over TLS, and whose certificate it was.

In: a target, and what gRPC said. Out: one clause that tells which side failed, over which name or
certificate, and what to do; and the certificate of a server that is to be believed untested. Here
the server is asked with the `ssl` of Python: gRPC does not tell what it saw.
"""

import os
import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar.errors import ServerUnavailable

if TYPE_CHECKING:
    from palomar.target import Target
    from palomar.tls import Tls

_PROBE_TIMEOUT_S = 1.0
"""How long to ask for the names of a certificate that was refused; only the message gains."""

# How gRPC's text begins where no connection came about.
_NOT_CONNECTED = "failed to connect"
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")
_NO_TLS = "it does not answer over TLS; leave TLS out, or name its TLS port"

_NAMES_SHOWN_MAX = 5
_NAME_CHARS_MAX = 80


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate.

    Attributes:
        pem: All of it.
        names: What it may be called: host names, of which the first label may be `*`, and
            addresses.
    """

    pem: str
    names: tuple[str, ...]

    def name_for(self, wanted: str) -> str:
        """The name that gRPC is to look for, which must be one the certificate bears."""
        if wanted in self.names or not self.names:
            return wanted
        return self.names[0].replace("*", "any", 1)


def fetch_certificate(target: "Target", tls: "Tls", timeout_s: float) -> Certificate:
    """Ask a server for its certificate, and believe it.

    Args:
        target: The server.
        tls: The name to ask for and the client's own certificate.
        timeout_s: How long each of two connections may take.

    Raises:
        ServerUnavailable: Nobody answers, or not over TLS, or the certificate has expired.
    """
    name = tls.expected_name(target)
    try:
        pem = _peer_pem(target, tls, name, timeout_s)
        # Only a certificate that was verified is taken apart by the `ssl` module. That it is
        # itself what vouches for it is all right: it is what was asked for.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=pem)
        with _connected(target, tls, name, context, timeout_s) as connection:
            return Certificate(pem, _names(connection))
    except ssl.SSLCertVerificationError as error:
        raise ServerUnavailable(
            f"cannot trust {target.text} even untested: its certificate is not valid "
            f"({error.verify_message}); it needs a new one"
        ) from error
    except ssl.SSLError as error:
        raise ServerUnavailable(f"cannot reach {target.text}: {_ssl_failure(error)}") from error
    except OSError as error:
        raise ServerUnavailable(
            f"cannot reach {target.text}: {error.strerror or error}; name another server "
            "(--server or PALOMAR_SERVER)"
        ) from error


def failure_text(target: "Target", details: str) -> str:
    """Say what was wrong and what to do; empty where TLS has nothing to do with it.

    Args:
        target: The server.
        details: What gRPC said.
    """
    if not details.startswith(_NOT_CONNECTED):
        return ""
    if target.tls is None:
        return _plain_failure(target, details)
    text = ""
    if found := _UNTRUSTED.search(details):
        text = (
            f"its certificate is not trusted here ({found[1].strip()}); name the file of the "
            "authority that signed it (--tls-ca-cert-files)"
        )
    elif "Hostname Verification Check failed" in details:
        text = _name_mismatch(target, target.tls)
    elif "WRONG_VERSION_NUMBER" in details:
        text = _NO_TLS
    elif "Failed to create security handshaker" in details:
        text = "the certificates given cannot be used; check the CA and client files"
    elif "Socket closed" in details or "handshake failed" in details or "reset" in details:
        text = _broken_off(target.tls)
    return text


def _plain_failure(target: "Target", details: str) -> str:
    if "Socket closed" not in details or target.socket_path:
        return ""
    return (
        "it closed the connection at once, as a server does that wants TLS; try --tls or "
        f"--server tls://{target.address}"
    )


def _broken_off(tls: "Tls") -> str:
    if not tls.client_cert_file:
        return (
            "it broke off the TLS handshake; it may want a client certificate "
            "(--tls-client-cert-file and --tls-client-key-file)"
        )
    return (
        "it broke off the TLS handshake; it may not know the authority of the client certificate "
        f"{os.fspath(tls.client_cert_file)}"
    )


def _name_mismatch(target: "Target", tls: "Tls") -> str:
    wanted = tls.expected_name(target)
    advice = "name the server as its certificate does (--tls-server-name)"
    try:
        names = fetch_certificate(target, tls, _PROBE_TIMEOUT_S).names
    except ServerUnavailable:
        names = ()
    if not names:
        return f"its certificate is not for {wanted!r}; {advice}"
    shown = ", ".join(repr(name[:_NAME_CHARS_MAX]) for name in names[:_NAMES_SHOWN_MAX])
    more = f" and {len(names) - _NAMES_SHOWN_MAX} more" if len(names) > _NAMES_SHOWN_MAX else ""
    return f"its certificate is for {shown}{more}, not for {wanted!r}; {advice}"


def _peer_pem(target: "Target", tls: "Tls", name: str, timeout_s: float) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # its certificate is what is wanted, whatever it is
    with _connected(target, tls, name, context, timeout_s) as connection:
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")


def _connected(
    target: "Target", tls: "Tls", name: str, context: ssl.SSLContext, timeout_s: float
) -> ssl.SSLSocket:
    if tls.client_cert_file:
        context.load_cert_chain(tls.client_cert_file, tls.client_key_file, password="")
    context.set_alpn_protocols(["h2"])
    if target.socket_path:
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(timeout_s)
        plain.connect(target.socket_path)
    else:
        plain = socket.create_connection((target.host, target.port), timeout_s)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def _names(connection: ssl.SSLSocket) -> tuple[str, ...]:
    """The names of a verified peer that gRPC heeds: the common one only if it has no other."""
    peer = connection.getpeercert() or {}
    names = [
        str(value)
        for kind, value in _pairs(peer.get("subjectAltName"))
        if kind in {"DNS", "IP Address"}
    ]
    if not names:
        for relative in _tuples(peer.get("subject")):
            names += [str(value) for kind, value in _pairs(relative) if kind == "commonName"]
    return tuple(names)


def _tuples(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _pairs(value: object) -> list[tuple[object, object]]:
    return [(pair[0], pair[1]) for pair in map(_tuples, _tuples(value)) if len(pair) > 1]


def _ssl_failure(error: ssl.SSLError) -> str:
    if error.reason == "WRONG_VERSION_NUMBER":
        return _NO_TLS
    reason = (error.reason or "no reason given").lower().replace("_", " ")
    return f"the TLS handshake failed ({reason}); is it a server with TLS?"
