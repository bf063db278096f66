import subprocess
from pathlib import Path

import pytest

from palomar.errors import InvalidRequest
from palomar.target import parse_target
from palomar.tls import Tls
from tests.client.certificates import Authority

TARGET = parse_target("tls://relay.example:443")


def refusal(tls: Tls) -> str:
    with pytest.raises(InvalidRequest) as refused:
        tls.credentials(TARGET, 1)
    return str(refused.value)


def test_certificate_and_key_go_together() -> None:
    with pytest.raises(InvalidRequest, match="a client certificate needs its key"):
        Tls(client_cert_file="x")
    with pytest.raises(InvalidRequest, match="a client key needs its certificate"):
        Tls(client_key_file="x")


def test_one_path_is_no_list() -> None:
    with pytest.raises(InvalidRequest, match="write a list"):
        Tls(ca_cert_files="ca.pem")


def test_absent_file_is_named(tmp_path: Path) -> None:
    assert f"cannot read the CA certificate {tmp_path}/x: No such" in refusal(Tls([tmp_path / "x"]))


def test_file_without_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    assert f"{tmp_path}/ca.pem has no certificate" in refusal(Tls([tmp_path / "ca.pem"]))


def test_comments_between_certificates_may_be_in_any_encoding(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes("# Főtanúsítvány\n".encode() + authority.file.read_bytes())
    assert Tls([bundle]).credentials(TARGET, 1)


def test_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other = authority.issue("one"), authority.issue("other")
    text = refusal(Tls(client_cert_file=one.certificate, client_key_file=other.key))
    assert "one.pem" in text
    assert "other.key" in text
    assert "key values mismatch" in text


def test_encrypted_key_is_told_and_no_password_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("one")
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", pair.key, "-out", tmp_path / "locked.key",
         "-passout", "pass:secret"],
        check=True,
    )  # fmt: skip
    text = refusal(Tls(client_cert_file=pair.certificate, client_key_file=tmp_path / "locked.key"))
    assert "not encrypted" in text


def test_expected_name_overrides_the_host() -> None:
    assert Tls().expected_name(TARGET) == "relay.example"
    tls = Tls(server_name="other.example")
    assert tls.expected_name(TARGET) == "other.example"
    assert tls.credentials(TARGET, 1)[1] == (("grpc.ssl_target_name_override", "other.example"),)


def test_environment_may_name_the_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "x"))
    assert str(tmp_path / "x") in refusal(Tls())
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(tmp_path / "y"))
    assert Tls().credentials(TARGET, 1)
