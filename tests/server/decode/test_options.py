"""What users may choose of decoding."""

from __future__ import annotations

import dataclasses

import pytest

from palomar_server.decode.options import DecodeOptions, Redaction


def test_nothing_is_withheld_or_left_out_unless_somebody_chose_so() -> None:
    options = DecodeOptions()
    assert (options.redact, options.skip_unknown_cgroup_ids) == (None, False)
    assert options.ip_tracing_option_type == 0


def test_redaction_begins_with_what_is_secret_in_any_case() -> None:
    chosen = dataclasses.asdict(Redaction())
    assert {name for name, value in chosen.items() if value} == {"http_user_info"}


@pytest.mark.parametrize("options", [DecodeOptions(), Redaction()])
def test_a_choice_is_made_once(options: DecodeOptions | Redaction) -> None:
    name = dataclasses.fields(options)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, name, True)
