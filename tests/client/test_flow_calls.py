import grpc

from palomar.flow_calls import FlowCalls
from palomar_proto.flow.flow_pb2 import Flow
from palomar_proto.observer.observer_pb2 import GetFlowsRequest
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions


class Refusal(grpc.RpcError):
    """A call that failed."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


LACKING = Refusal(grpc.StatusCode.UNIMPLEMENTED)
PLAIN = GetFlowsRequest(number=1)


def extended(options: BatchOptions) -> GetFlowsRequest:
    request = GetFlowsRequest()
    request.extensions.Pack(options)
    return request


def make_calls() -> FlowCalls[str, str]:
    return FlowCalls(lambda _: "batches", lambda _: "flows")


def test_batches_come_first() -> None:
    assert make_calls().open(PLAIN) == ("batches", True)


def test_a_server_without_batches_is_asked_for_flows() -> None:
    assert make_calls().instead(PLAIN, LACKING) == "flows"


def test_what_is_known_is_not_tried_again() -> None:
    calls = make_calls()
    calls.batched = False
    assert calls.open(PLAIN) == ("flows", False)


def test_a_server_that_has_batches_meant_something_else() -> None:
    calls = make_calls()
    calls.batched = True
    assert calls.instead(PLAIN, LACKING) is None


def test_other_errors_are_errors() -> None:
    assert make_calls().instead(PLAIN, Refusal(grpc.StatusCode.INVALID_ARGUMENT)) is None
    assert make_calls().instead(PLAIN, grpc.RpcError()) is None


def test_only_batches_can_resume() -> None:
    calls = make_calls()
    request = extended(BatchOptions(resume_token=b"token"))
    assert calls.instead(request, LACKING) is None
    calls.batched = False
    assert calls.open(request) == ("batches", True)


def test_sizes_of_batches_do_without() -> None:
    calls = make_calls()
    calls.batched = False
    assert calls.open(extended(BatchOptions(responses_max=1))) == ("flows", False)
    other = GetFlowsRequest()
    other.extensions.Pack(Flow())
    assert calls.open(other) == ("flows", False)


def test_streams_are_closed_with_the_channel_as_long_as_somebody_has_them() -> None:
    closed: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self._name = name

        def close(self) -> None:
            closed.append(self._name)

    calls = make_calls()
    kept = calls.keep(Stream("kept"))
    calls.keep(Stream("forgotten"))
    calls.close()
    assert closed == ["kept"]
    del kept
