from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.commands.record import record
from palomar.fake_recordings import FakeRecordings
from palomar.filter_flags import FILTER_KEYS
from palomar.testing import FakeObserver
from palomar_proto.flow.flow_pb2 import DROPPED
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_END_PACKETS,
    RECORDING_FORMAT_PCAP,
    RECORDING_FORMAT_PCAPNG,
    StartRequest,
)


def run(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["record", *arguments, "--server", server.target])


def asked(*arguments: str) -> StartRequest:
    recordings = FakeRecordings()
    with FakeObserver(recordings=recordings) as server:
        done = run(server, "--detach", *arguments)
        assert done.exit_code == 0, done.stderr
    return recordings.started[0]


def test_filters_of_observe_come_in_their_order() -> None:
    request = asked("--pod", "web", "--verdict", "drop", "--not", "--port", "53", "--not-port=443")
    assert [list(one.verdict) for one in request.filter.whitelist] == [[DROPPED]] * 2
    assert len(request.filter.blacklist) == 4


def test_every_flag_has_its_field() -> None:
    request = asked(
        "--packets", "1k", "--bytes", "1Gi", "--duration", "1m30s", "--snaplen", "128",
        "--format", "pcap", "--name", "web", "--keep", "2h", "--one-way",
        "--tuple", "10.0.0.0/8 * 10.1.0.7 80 tcp", "--tuple", "* * * 53 udp",
        "--pcap-filter", "tcp", "--trigger", "verdict=drop,pod=web", "--before", "2s",
    )  # fmt: skip
    assert (request.stop.packets, request.stop.bytes) == (1000, 1 << 30)
    assert request.stop.duration.ToNanoseconds() == 90 * 10**9
    assert request.snaplen_bytes == 128
    assert request.format == RECORDING_FORMAT_PCAP
    assert request.name == "web"
    assert request.keep.ToNanoseconds() == 7200 * 10**9
    assert request.filter.one_way
    assert [one.destination_port for one in request.filter.tuples] == [80, 53]
    assert request.filter.pcap_filter == "tcp"
    assert len(request.trigger.filters) == 2
    assert request.trigger.before.ToNanoseconds() == 2 * 10**9


@pytest.mark.parametrize("dialect", [(), ("--strict-hubble",)])
def test_tuples_may_be_plain_words_as_hubble_had_them(dialect: tuple[str, ...]) -> None:
    request = asked(*dialect, "0.0.0.0/0 0 10.1.0.7/32 80 TCP", "::/0 0 ::/0 0 ANY")
    assert [one.destination_port for one in request.filter.tuples] == [80, 0]


def test_without_flags_it_is_every_packet() -> None:
    request = asked()
    assert request.filter.ByteSize() == 0
    assert request.format == RECORDING_FORMAT_PCAPNG


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.pcap", RECORDING_FORMAT_PCAP),
        ("x.CAP", RECORDING_FORMAT_PCAP),
        ("x.pcapng", RECORDING_FORMAT_PCAPNG),
        ("x", RECORDING_FORMAT_PCAPNG),
        ("x.pcap.d/x", RECORDING_FORMAT_PCAPNG),
    ],
)
def test_name_of_the_file_says_its_format(
    name: str,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("record"))
    Path("x.pcap.d").mkdir()
    recordings = FakeRecordings(end=RECORDING_END_PACKETS)
    with FakeObserver(recordings=recordings) as server:
        assert run(server, "-w", name).exit_code == 0
    assert recordings.started[0].format == expected


@pytest.mark.parametrize(
    ("file_format", "name", "expected"),
    [
        ("pcap", "x.pcap", 0),
        ("PCAP", "x.CAP", 0),
        ("pcapng", "x.PcapNG", 0),
        ("pcap", "x.dump", 0),
        ("pcap", "-", 0),
        ("pcap", "x.pcapng", 2),
        ("pcapng", "x.pcap", 2),
        ("pcapng", "x.cap", 2),
    ],
)
def test_a_name_may_not_belie_the_format(
    file_format: str,
    name: str,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("record"))
    recordings = FakeRecordings(end=RECORDING_END_PACKETS)
    with FakeObserver(recordings=recordings) as server:
        done = run(server, "-w", name, "--format", file_format)
    assert done.exit_code == expected
    assert len(recordings.started) == (expected == 0)
    assert ("contradicts" in done.stderr) == (expected == 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--packets", "-5"), "'-5' is no whole number of 0 or more"),
        (("--bytes", "1.5"), "'1.5' is no whole number of 0 or more"),
        (("--packets", "9" * 20), "is more than anything can have"),
        (("--before", "-2s"), "'-2s' is no duration of 0s or more"),
    ],
)
def test_numbers_that_are_none_are_told_why(arguments: tuple[str, str], told: str) -> None:
    with FakeObserver(recordings=FakeRecordings()) as server:
        assert told in run(server, *arguments).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--packets", "x"),
        ("--bytes", "3q"),
        ("--duration", "5"),
        ("--before", "-2s"),
        ("--snaplen", "-1"),
        ("--format", "erf"),
        ("--name", "../x"),
        ("--tuple", "x"),
        ("--trigger", "nonsense"),
        ("--port", "99999"),
        ("-w", "-", "--detach"),
        ("extra",),
    ],
)
def test_nonsense_is_a_usage_error_and_nothing_is_asked(arguments: tuple[str, ...]) -> None:
    recordings = FakeRecordings()
    with FakeObserver(recordings=recordings) as server:
        assert run(server, *arguments).exit_code == 2
        assert server.other_requests == []


def test_its_own_flags_are_no_filters() -> None:
    flags = [flag for parameter in record.params for flag in parameter.opts]
    assert len(flags) == len(set(flags))
    assert {f"--{name}" for name in FILTER_KEYS} <= set(flags)
