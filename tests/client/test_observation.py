import io

import pytest

from palomar.errors import InvalidRequest
from palomar.observation import build_request, show_filters

OPTIONS = {"last": 0, "first": 0, "all": False, "since": "", "until": "", "follow": False}


def test_request_holds_filters_and_selection() -> None:
    request = build_request([("verdict", "drop"), ("not", ""), ("port", "53")], OPTIONS)
    assert request.number == 20
    assert (len(request.whitelist), len(request.blacklist)) == (1, 2)


def test_bad_time_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="bogus"):
        build_request([], OPTIONS | {"since": "bogus"})


def test_filters_are_shown_as_yaml_that_keeps_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stdout", shown)
    show_filters(build_request([("from-namespace", "it's")], OPTIONS))
    assert shown.getvalue() == "allowlist:\n    - '{\"source_pod\":[\"it''s/\"]}'\n"


def test_no_filters_are_shown_as_an_empty_document(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stdout", shown)
    show_filters(build_request([], OPTIONS))
    assert shown.getvalue() == "{}\n"
