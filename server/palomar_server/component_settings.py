"""The parts of the settings that other components have types of their own for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_bpf.settings import CaptureSettings
from palomar_server.decode.options import DecodeOptions, Redaction
from palomar_server.settings import SettingsError

if TYPE_CHECKING:
    from palomar_server.settings import Settings


def capture_settings(settings: Settings) -> CaptureSettings:
    """The part of the settings that is the kernel side's.

    Raises:
        SettingsError: a value is not possible; names field and value.
    """
    try:
        return _capture_settings(settings)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _capture_settings(settings: Settings) -> CaptureSettings:
    return CaptureSettings(
        interfaces=settings.interface,
        snaplen_bytes=settings.snaplen_bytes,
        pages_per_cpu=settings.pages_per_cpu,
        record_pages_per_cpu=settings.record_pages_per_cpu,
        coalesce_max_s=settings.coalesce_max_s,
        coalesce_unwatched_max_s=settings.coalesce_unwatched_max_s,
        aggregation=settings.aggregation,
        aggregation_interval_s=settings.aggregation_interval_s,
        aggregation_flags=settings.aggregation_flags,
        connections_max=settings.connections_max,
        interfaces_max=settings.interfaces_max,
        drops=settings.drops,
        ignored_drop_reasons=settings.ignored_drop_reasons,
        attach_method=settings.attach_method,
        trace_rate_per_cpu=settings.trace_rate_per_cpu,
        trace_burst_per_cpu=settings.trace_burst_per_cpu,
        drop_rate_per_cpu=settings.drop_rate_per_cpu,
        drop_burst_per_cpu=settings.drop_burst_per_cpu,
    )


def decode_options(settings: Settings) -> DecodeOptions:
    """The part of the settings that is the decoder's."""
    redact = Redaction(
        http_query=settings.redact_http_query,
        http_user_info=settings.redact_http_user_info,
        kafka_api_key=settings.redact_kafka_api_key,
        allow_headers=frozenset(settings.redact_http_headers_allow),
        deny_headers=frozenset(settings.redact_http_headers_deny),
    )
    return DecodeOptions(
        skip_unknown_cgroup_ids=settings.skip_unknown_cgroup_ids,
        ip_tracing_option_type=settings.ip_tracing_option_type,
        redact=redact if settings.redact else None,
    )
