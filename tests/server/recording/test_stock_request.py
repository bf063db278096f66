from __future__ import annotations

import pytest

from palomar_proto.recorder import recorder_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.grpc_status import Status, status_of
from palomar_server.recording.stock_request import StockRefusal, stock_filter, stock_prefix


def start(prefix: str = "", *include: recorder_pb2.Filter) -> recorder_pb2.StartRecording:
    return recorder_pb2.StartRecording(
        filesink=recorder_pb2.FileSinkConfiguration(file_prefix=prefix), include=include
    )


def tuple_of(source: str, destination: str, **values: int) -> recorder_pb2.Filter:
    return recorder_pb2.Filter(source_cidr=source, destination_cidr=destination, **values)  # type: ignore[arg-type]


def test_a_file_begins_with_the_prefix_or_hubble() -> None:
    assert stock_prefix(start()) == "hubble"
    assert stock_prefix(start("a" * 20)) == "a" * 20


@pytest.mark.parametrize("prefix", ["A", "1a", "a-b", "../x", "a" * 21, "a\n", "ä"])
def test_other_prefixes_are_refused_in_hubbles_words(prefix: str) -> None:
    with pytest.raises(StockRefusal, match="invalid file sink prefix: "):
        stock_prefix(start(prefix))


def test_tuples_go_one_way_with_their_host_bits_cleared() -> None:
    one = tuple_of("10.1.2.3/16", "192.168.1.7/24", source_port=1, destination_port=443, protocol=6)
    packets = stock_filter(start("", one))
    assert packets.one_way
    (told,) = packets.tuples
    assert (told.source_cidr, told.destination_cidr) == ("10.1.0.0/16", "192.168.1.0/24")
    assert (told.source_port, told.destination_port, told.protocol) == (1, 443, 6)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:0:0/96", "0.0.0.0/0")],
)
def test_mapped_prefixes_are_ipv4(written: str, meant: str) -> None:
    packets = stock_filter(start("", tuple_of(written, "0.0.0.0/0")))
    assert packets.tuples[0].source_cidr == meant


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (tuple_of("", "0.0.0.0/0"), 'failed to parse source cidr "": invalid CIDR address: '),
        (tuple_of("10.0.0.1", "::/0"), 'failed to parse source cidr "10.0.0.1": '),
        (tuple_of("10.0.0.0/255.0.0.0", "0.0.0.0/0"), "failed to parse source cidr"),
        (tuple_of("fe80::1%eth0/64", "::/0"), "failed to parse source cidr"),
        (tuple_of("10.0.0.1/32", "x/8"), 'failed to parse destination cidr "x/8": '),
        (
            tuple_of("10.0.0.1/32", "::/0"),
            "source (10.0.0.1/32) and destination cidr (::/0) must be same protocol version",
        ),
        (tuple_of("::/0", "::/0", source_port=65_536), "source port 65536 out of range"),
        (tuple_of("::/0", "::/0", destination_port=70_000), "destination port 70000 out of range"),
    ],
)
def test_what_is_no_tuple_is_refused_in_hubbles_words(one: recorder_pb2.Filter, told: str) -> None:
    with pytest.raises(StockRefusal) as refused:
        stock_filter(start("", one))
    assert told in str(refused.value)


def test_a_request_without_tuples_is_refused() -> None:
    with pytest.raises(StockRefusal, match="need to specify at least one include filter"):
        stock_filter(start())


def test_a_refusal_is_about_the_request() -> None:
    refusal = StockRefusal("text")
    assert isinstance(refusal, InvalidRequest)
    assert (str(refusal), status_of(refusal)) == ("text", Status.INVALID_ARGUMENT)
