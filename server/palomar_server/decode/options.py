"""What users may choose of decoding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Redaction:
    """What of application messages is withheld. Names of headers are compared in lower case."""

    http_query: bool = False
    """Leave the query out of URLs."""
    http_user_info: bool = True
    """Replace the password of a URL's user information."""
    kafka_api_key: bool = False
    """Replace the API key of Kafka requests."""
    allow_headers: frozenset[str] = frozenset()
    """Headers whose values are shown; all others' are replaced, unless only `deny_headers` names
    any."""
    deny_headers: frozenset[str] = frozenset()
    """Headers whose values are replaced; the others' are shown, unless `allow_headers` names
    any."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """Choices of the decoder."""

    skip_unknown_cgroup_ids: bool = False
    """Leave out socket translations of cgroups that belong to no pod."""
    ip_tracing_option_type: int = 0
    """IPv4 option type (RFC 791) that carries a trace id; 0: none does."""
    redact: Redaction | None = None
    """None: everything is shown but passwords in URLs."""
    requests_max: int = 10_000
    """HTTP requests remembered until their response comes, for its latency and trace context."""
