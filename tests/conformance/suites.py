"""The case files that palomar is held against. A new kind of case file is a line here."""

from __future__ import annotations

from tests.conformance import (
    cli_cases,
    decode_cases,
    filter_cases,
    getflows_cases,
    monitor_socket_cases,
    recorder_cases,
)
from tests.conformance.corpus import Suite

SUITES = (
    Suite("decode.jsonl", decode_cases.prepare),
    Suite("filters/cases.jsonl", filter_cases.prepare),
    Suite("monitor_socket.jsonl", monitor_socket_cases.prepare),
    Suite("getflows.jsonl", getflows_cases.prepare),
    Suite("recorder.jsonl", recorder_cases.prepare),
    Suite("cli/cases.jsonl", cli_cases.prepare),
)
