from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from palomar_proto.flow import flow_pb2
from palomar_server.flow_mask import FlowMask


def flow() -> flow_pb2.Flow:
    made = flow_pb2.Flow(uuid="a", Summary="b")
    made.source.pod_name = "web"
    made.source.labels.extend(["x", "y"])
    made.l4.TCP.source_port = 5
    made.l4.TCP.flags.SYN = True
    made.is_reply.value = False
    return made


def masked(*paths: str) -> flow_pb2.Flow:
    return FlowMask(FieldMask(paths=paths)).of(flow())


def test_fields_that_are_not_wanted_are_left_out() -> None:
    assert masked("uuid") == flow_pb2.Flow(uuid="a")
    assert masked("source", "source.pod_name").source == flow().source
    assert list(masked("source.labels").source.labels) == ["x", "y"]
    assert masked("is_reply").HasField("is_reply")
    assert masked("verdict") == flow_pb2.Flow()


def test_messages_on_the_way_to_a_field_are_there_in_any_case() -> None:
    found = masked("destination.pod_name", "IP.source")
    assert found.HasField("destination")
    assert found.HasField("IP")
    assert found.ByteSize() == 4


@pytest.mark.parametrize("other", ["l4.UDP.source_port", "l4.SCTP.source_port"])
def test_of_fields_that_exclude_each_other_the_one_that_is_there_stays(other: str) -> None:
    assert masked(other, "l4.TCP.source_port").l4.TCP.source_port == 5
    assert masked(other).l4.WhichOneof("protocol") == other.split(".")[1]


def test_a_mask_knows_what_it_wants() -> None:
    mask = FlowMask(FieldMask(paths=["time.seconds", "source", "source.labels"]))
    assert mask.paths == ("source", "time.seconds")
    assert mask.wants("time.seconds")
    assert mask.wants("source.labels")
    assert not mask.wants("time.nanos")
    assert not mask.wants("time")
    assert not mask.wants("uuid")


def test_a_mask_knows_whether_it_wants_anything_of_some_fields() -> None:
    mask = FlowMask(FieldMask(paths=["time.seconds", "source.labels", "uuid"]))
    assert mask.wants_some_of({"source", "destination"})
    assert mask.wants_some_of(["time"])
    assert not mask.wants_some_of({"seconds", "labels", "l4"})
    assert not mask.wants_some_of(())


def test_what_a_mask_wants_can_be_told_apart_by_fields() -> None:
    mask = FlowMask(FieldMask(paths=["source.labels", "source.pod_name", "l4", "uuid"]))
    ends, others = mask.among({"source", "destination"}), mask.among({"l4", "uuid", "time"})
    assert (ends.paths, others.paths) == (("source.labels", "source.pod_name"), ("l4", "uuid"))
    assert mask.among({"time"}).of(flow()) == flow_pb2.Flow()
    together = ends.of(flow())
    together.MergeFrom(others.of(flow()))
    assert together == mask.of(flow())


@pytest.mark.parametrize("turn", [1, -1])
def test_the_order_of_paths_does_not_matter(turn: int) -> None:
    # Of headers of which none is there, one has to be the last.
    paths = ["l4.UDP.source_port", "l4.SCTP.source_port", "l4.VRRP.vrid", "l4.IGMP.type"]
    found = FlowMask(FieldMask(paths=paths[::turn])).of(flow())
    assert found == flow_pb2.Flow(l4=flow_pb2.Layer4(VRRP=flow_pb2.VRRP()))
