from __future__ import annotations

from palomar_bpf.settings import CaptureSettings
from palomar_server.component_settings import capture_settings, decode_options
from palomar_server.settings import Settings


def test_what_is_withheld_is_chosen_by_settings() -> None:
    assert decode_options(Settings()).redact is None
    chosen = {"redact": True, "redact_http_query": True, "redact_http_headers_deny": "Cookie"}
    redact = decode_options(Settings.model_validate(chosen)).redact
    assert redact is not None
    assert (redact.http_query, redact.http_user_info, redact.kafka_api_key) == (True, True, False)
    assert (sorted(redact.allow_headers), sorted(redact.deny_headers)) == ([], ["cookie"])


def test_ip_options_and_cgroups_are_decoded_as_settings_say() -> None:
    usual = decode_options(Settings())
    assert (usual.ip_tracing_option_type, usual.skip_unknown_cgroup_ids) == (0, True)
    chosen = {"ip_tracing_option_type": 136, "skip_unknown_cgroup_ids": False}
    other = decode_options(Settings.model_validate(chosen))
    assert (other.ip_tracing_option_type, other.skip_unknown_cgroup_ids) == (136, False)


def test_capture_settings_are_those_of_the_daemon() -> None:
    chosen = capture_settings(
        Settings(interface=("veth*",), snaplen_bytes=256, record_pages_per_cpu=4_096)
    )
    assert chosen == CaptureSettings(
        interfaces=("veth*",), snaplen_bytes=256, record_pages_per_cpu=4_096
    )
