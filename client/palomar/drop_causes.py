"""Causes beneath drops: `palomar observe --explain`.

In: responses as they are printed. Out: for each that holds a drop, a line with the cause and one
with what to check first, as palomard's Explain has them. A flood has few causes, so what was asked
once is remembered by what makes drops alike, and the number of questions is bounded. Used by
`flow_run`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from palomar.errors import InvalidRequest, PalomarError, Unsupported
from palomar.printers.escape import visible
from palomar_proto.flow.flow_pb2 import DROPPED, Flow
from palomar_proto.observer.observer_pb2 import GetFlowsResponse

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar_proto.palomar.v1.explanation_pb2 import ExplainResponse

QUESTIONS_MAX = 100
"""Asked in one run; each takes the server some milliseconds, in which the flows wait."""

_INDENT = "    "

_Key: TypeAlias = tuple[object, ...]


class DropCauses:
    """Explains the drops of one stream.

    Args:
        client: Whom to ask.
        note: Told once, in a line without its end, if drops stay unexplained.
    """

    def __init__(self, client: "Client", note: Callable[[str], object]) -> None:
        self._client = client
        self._note = note
        self._known: dict[_Key, str] = {}
        self._by_reason: dict[_Key, str] = {}
        self._questions = 0
        self._over = False

    def lines(self, response: GetFlowsResponse) -> str:
        """The lines to print below a response; none unless it is an explained drop."""
        flow = response.flow
        if flow.verdict != DROPPED:
            return ""
        reason = flow.drop_reason_desc, flow.event_type.type, flow.event_type.sub_type
        key = (*reason, flow.IP.source, flow.IP.destination, _port(flow), flow.traffic_direction)
        text = self._known.get(key)
        if text is None and not self._over:
            text = self._ask(flow)
            if text is not None:
                self._known[key] = text
                self._by_reason.setdefault(reason, text)
        # What the reason means holds for others as well; better than nothing.
        return self._by_reason.get(reason, "") if text is None else text

    def _ask(self, flow: Flow) -> str | None:
        """Ask about a drop; `None` if there is no answer now."""
        if self._questions >= QUESTIONS_MAX:
            self._give_up(f"only the first {QUESTIONS_MAX} kinds of drops are explained one by one")
            return None
        self._questions += 1
        try:
            return cause_lines(self._client.explain(flow))
        except Unsupported:
            self._give_up("this server cannot explain drops; ask palomard on the node itself")
        except InvalidRequest:
            return ""  # it is gone from the ring: asking again will not bring it back
        except PalomarError as error:
            self._give_up(f"drops stay unexplained: {error}")
        return None

    def _give_up(self, why: str) -> None:
        self._over = True
        self._note(why)


def cause_lines(answer: "ExplainResponse") -> str:
    """Write an explanation in two or three short lines, indented to stand below a flow."""
    lines = [f"cause: {cause_name(answer)}: {visible(answer.meaning or answer.headline)}"]
    policies = [visible(one.policy.name) for one in answer.policies if one.policy.name]
    if policies:
        lines.append(f"policy: {', '.join(policies)}")
    if answer.check_next:
        lines.append(f"check: {visible(answer.check_next[0])}")
    return "".join(f"{_INDENT}{line}\n" for line in lines)


def cause_name(answer: "ExplainResponse") -> str:
    """Name the kind of cause, such as `default deny`."""
    from palomar_proto.palomar.v1.explanation_pb2 import DropCause  # noqa: PLC0415 - is rare

    names = {value.number: value.name for value in DropCause.DESCRIPTOR.values}
    name = names.get(answer.cause, str(answer.cause))
    return name.removeprefix("DROP_CAUSE_").replace("_", " ").lower()


def _port(flow: Flow) -> int:
    """The port that was asked for; 0 where there is none."""
    layer4 = flow.l4
    if layer4.HasField("TCP"):
        return layer4.TCP.destination_port
    return layer4.UDP.destination_port or layer4.SCTP.destination_port
