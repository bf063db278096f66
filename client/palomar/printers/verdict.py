"""The verdict column: what happened to the packet, and which policies decided it.

In: a Flow. Out: its verdict in the colour of its kind. A policy verdict message has words of its
own for it, and names the policies if asked to.
"""

from collections.abc import Iterable

from palomar import event_types
from palomar.printers.escape import visible
from palomar.printers.look import Look
from palomar_proto.flow import flow_pb2

# Proto3 enumerations are open: a number without a name is shown as the number.
_VERDICTS = {value.number: value.name for value in flow_pb2.Verdict.DESCRIPTOR.values}

# How a policy verdict message puts the verdict of its flow.
_POLICY_VERDICTS = {
    flow_pb2.FORWARDED: "ALLOWED",
    flow_pb2.REDIRECTED: "ALLOWED",
    flow_pb2.DROPPED: "DENIED",
    flow_pb2.ERROR: "DENIED",
    flow_pb2.AUDIT: "AUDITED",
}
_ALLOWED = frozenset({flow_pb2.FORWARDED, flow_pb2.REDIRECTED})
_DENIED = frozenset({flow_pb2.DROPPED, flow_pb2.ERROR})


class VerdictColumn:
    """Shows verdicts, always the same way for one stream."""

    def __init__(self, look: Look) -> None:
        palette = look.palette
        good, bad, notable = palette.good, palette.bad, palette.notable
        self._end = palette.end
        self._policy_names = look.policy_names
        self._strict = look.strict
        self._colors: dict[int, str] = {
            flow_pb2.FORWARDED: good,
            flow_pb2.REDIRECTED: good,
            flow_pb2.DROPPED: bad,
            flow_pb2.ERROR: bad,
            flow_pb2.AUDIT: notable,
            flow_pb2.TRACED: notable,
            flow_pb2.TRANSLATED: notable,
        }
        self._texts: dict[int, str] = {
            number: self._colored(number, name) for number, name in _VERDICTS.items()
        }

    def text(self, flow: flow_pb2.Flow, event: flow_pb2.CiliumEventType) -> str:
        """Show the verdict of a flow.

        Args:
            flow: The flow.
            event: Its event type.
        """
        number = flow.verdict
        if event.type == event_types.POLICY_VERDICT:
            text = _POLICY_VERDICTS.get(number) or _VERDICTS.get(number) or str(number)
            if self._policy_names:
                text += self._policies(flow)
            return self._colored(number, text)
        return self._texts.get(number) or str(number)

    def _colored(self, number: int, text: str) -> str:
        color = self._colors.get(number, "")
        return f"{color}{text}{self._end}" if color else text

    def _policies(self, flow: flow_pb2.Flow) -> str:
        """Name the policies behind a policy verdict; starts with a space."""
        policies = _deciding_policies(flow, strict=self._strict)
        names = [
            _policy_name(one) for one in policies if one.name and (one.kind or not self._strict)
        ]
        return f" BY {', '.join(names)}" if names else ""


def _deciding_policies(flow: flow_pb2.Flow, *, strict: bool) -> Iterable[flow_pb2.Policy]:
    verdict, direction = flow.verdict, flow.traffic_direction
    # An audited packet is one that the policy denies; hubble 1.19 does not name it.
    denied = verdict in _DENIED or (verdict == flow_pb2.AUDIT and not strict)
    if direction == flow_pb2.INGRESS:
        if verdict in _ALLOWED:
            return flow.ingress_allowed_by
        return flow.ingress_denied_by if denied else ()
    if direction == flow_pb2.EGRESS:
        if verdict in _ALLOWED:
            return flow.egress_allowed_by
        return flow.egress_denied_by if denied else ()
    return ()


def _policy_name(policy: flow_pb2.Policy) -> str:
    return visible(f"{policy.name} ({policy.kind})" if policy.kind else policy.name)
