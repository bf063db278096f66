"""Certificates made for one test run, by an authority of its own."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Pair:
    """Files of a certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is `file`."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl command to make certificates")
        self._folder = folder
        self.file = folder / "ca.pem"
        _openssl(
            folder, "req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem",
            "-subj", "/CN=tests", "-days", "3650",
        )  # fmt: skip

    def issue(self, name: str, alternatives: str = "", *, days: int = 3650) -> Pair:
        """Make a certificate for `name`, with the given subjectAltName."""
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n" if alternatives else "")
        _openssl(
            self._folder, "req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}",
        )  # fmt: skip
        _openssl(
            self._folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", str(days), "-extfile",
            extensions.name,
        )  # fmt: skip
        return Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")

    def server_credentials(self, pair: Pair, *, ask: bool = False) -> grpc.ServerCredentials:
        """Credentials of a server, which may ask its clients for a certificate of ours."""
        own = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
        return grpc.ssl_server_credentials(own, self.file.read_bytes() if ask else None, ask)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
