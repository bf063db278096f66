"""Puts an explanation together: the flow, its cause, what to check, and what stands around it."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.explain import path_mtu
from palomar_server.explain.evidence import Evidence, gather_evidence
from palomar_server.explain.limits import limits_of
from palomar_server.explain.policy import PolicyFinding, deciding_policies, find_policy
from palomar_server.explain.quiet import explain_quiet
from palomar_server.explain.reasons import ReasonTable
from palomar_server.explain.related import related_flows
from palomar_server.explain.subject import Subject, Subjects
from palomar_server.explain.window import Window
from palomar_server.explain.wording import drop_headline, drop_reason
from palomar_server.filters.compiled import CompiledFilter, FilterLimits
from palomar_server.peer import OWN
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from palomar_proto.palomar.v1.explanation_pb2 import ExplainRequest, ExplainResponse, PathMtu
    from palomar_server.encode import FlowEncoder
    from palomar_server.explain.subject import Build
    from palomar_server.explain.window import Bounds
    from palomar_server.peer import Peer
    from palomar_server.ring import Ring
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

    Permit: TypeAlias = Callable[[observer_pb2.GetFlowsRequest, Peer], observer_pb2.GetFlowsRequest]
    """The request that a peer may have served instead of another; see hooks.GetFlowsChain.run."""

_DROPPED = flow_pb2.DROPPED
_UINT32 = 0xFFFF_FFFF
_PATH_MTU = explanation_pb2.DROP_CAUSE_PATH_MTU
_WEAK = (
    explanation_pb2.DROP_CAUSE_UNKNOWN,
    explanation_pb2.DROP_CAUSE_NO_FAULT,
    explanation_pb2.DROP_CAUSE_CONNECTION_STATE,
)
"""Causes that a message about packet sizes outweighs: they are often what comes of it."""


@dataclass(frozen=True, slots=True)
class ExplainLimits:
    """What one explanation may cost."""

    related_default: int = 20
    """Related flows where the request does not say: about a screen."""
    related_max: int = 200
    """Related flows at most: some 200 KiB of answer."""
    events_max: int = 16_384
    """Events of a connection that are looked at: 4 MiB, copied while the ring goes on."""


_LIMITS = ExplainLimits()


class Explainer:
    """Answers palomar.v1.Queries/Explain from the ring.

    Args:
        ring: the events.
        encoder: makes messages of rows.
        surroundings: what filters look into.
        reasons: what drop reasons mean; the tables of this package by default.
        filter_limits: what the filters of a request may cost.
        build: the filters that hooks add to a request's, see `CompiledFilter`.
        permit: asked as for a stream of all flows, before anything is looked at; what it does not
            let through is not explained, related or counted. May refuse with a RequestError.
        limits: what one explanation may cost.
    """

    def __init__(
        self,
        ring: Ring,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        *,
        reasons: ReasonTable | None = None,
        filter_limits: FilterLimits | None = None,
        build: Build | None = None,
        permit: Permit | None = None,
        limits: ExplainLimits = _LIMITS,
    ) -> None:
        self._ring = ring
        self._encoder = encoder
        self._surroundings = surroundings
        self._filter_limits = filter_limits or FilterLimits()
        self._permit = permit
        self._subjects = Subjects(encoder, surroundings, self._filter_limits, build)
        self._reasons = reasons or ReasonTable()
        self._limits = limits

    async def explain(self, request: ExplainRequest, peer: Peer = OWN) -> ExplainResponse:
        """Serve Explain.

        Args:
            request: which flow.
            peer: who asks.

        Raises:
            InvalidRequest: the request names no flow, or in a way that makes no sense.
            NotFound: this server does not have the flow, or not any more.
            RequestError: this peer may not ask.
        """
        if request.related_max > self._limits.related_max:
            rule = f"is over {self._limits.related_max}"
            raise InvalidRequest("related_max", request.related_max, rule)
        window = Window.of(self._ring, request, self._bounds(peer))
        subject = await self._subjects.find(request, window)
        evidence = gather_evidence(window, subject, self._limits.events_max)
        answer = explanation_pb2.ExplainResponse(flow=subject.flow, sequence=subject.sequence)
        self._tell_cause(answer, subject, evidence, window)
        related, more = related_flows(
            subject,
            evidence,
            request.related_max or self._limits.related_default,
            self._encoder,
            window.message,
        )
        answer.related.extend(related)
        answer.related_truncated = more
        _count(answer.counts, subject, evidence, window, answer.reason_number)
        oldest_ns = window.oldest_ns
        if oldest_ns:
            answer.seen_since.FromNanoseconds(oldest_ns)
        found = limits_of(subject, evidence, window, oldest_ns, self._limits.events_max)
        answer.limits.extend(found)
        return answer

    def _bounds(self, peer: Peer) -> Bounds | None:
        """What a peer may see; None for all."""
        if self._permit is None:
            return None
        permitted = self._permit(observer_pb2.GetFlowsRequest(), peer)
        if not (permitted.whitelist or permitted.blacklist):
            return None
        matching = CompiledFilter(
            permitted.whitelist,
            permitted.blacklist,
            self._surroundings,
            self._encoder,
            limits=self._filter_limits,
        )
        return lambda rows, first, which: matching.mask(
            View(rows, first, self._ring.message, self._encoder).take(which)
        )

    def _tell_cause(
        self, answer: ExplainResponse, subject: Subject, evidence: Evidence, window: Window
    ) -> None:
        told, exact = None, False
        if subject.connection is not None:
            found = path_mtu.path_mtu_of(subject.connection, window, self._limits.events_max)
            if found is not None:
                told, exact = found
                answer.path_mtu.CopyFrom(told)
        if subject.flow.verdict == _DROPPED:
            events = [subject.flow, *self._flows(evidence, evidence.same_packet, window)]
            self._tell_drop(answer, events, subject)
        else:
            dropped = np.zeros(0, np.bool_) if told and exact else evidence.dropped
            drops = self._flows(evidence, dropped, window, newest=1)
            if drops:
                self._tell_drop(answer, drops, subject)
                answer.headline = f"Another packet of the connection: {answer.headline}"
            else:
                _tell_quiet(answer, subject, evidence)
        if told is not None and (answer.cause == _PATH_MTU or (answer.cause in _WEAK)):
            self._tell_path_mtu(answer, told, exact=exact)

    def _tell_drop(
        self, answer: ExplainResponse, events: list[flow_pb2.Flow], subject: Subject
    ) -> None:
        flow = events[0]
        entry = self._reasons.reason(flow.drop_reason_desc)
        answer.cause = entry.cause
        answer.headline = drop_headline(flow)
        answer.reason = drop_reason(flow)
        answer.reason_number = flow.drop_reason_desc & _UINT32
        # Only drops have a place; the policy verdict on the same packet does not.
        site = next((one.file for one in events if one.file.name), flow.file)
        answer.function, answer.line = site.name, site.line
        answer.meaning = " ".join(filter(None, (entry.meaning, self._reasons.function(site.name))))
        answer.usual_causes.extend(entry.usual_causes)
        words = subject.connection.words if subject.connection is not None else {}
        answer.check_next.extend(entry.checks(words))
        finding = find_policy(events)
        if finding is not None:
            _tell_policy(answer, finding)
        else:
            answer.policies.extend(deciding_policies(events))

    def _tell_path_mtu(self, answer: ExplainResponse, told: PathMtu, *, exact: bool) -> None:
        """Name path-MTU trouble as the cause; what was said of a drop stays in the headline."""
        entry = self._reasons.reason(path_mtu.PKT_TOO_BIG)
        headline = path_mtu.headline(told, exact=exact)
        answer.headline = f"{headline} {answer.headline}" if answer.reason else headline
        answer.cause, answer.meaning = entry.cause, entry.meaning
        del answer.usual_causes[:], answer.check_next[:]
        answer.usual_causes.extend(entry.usual_causes)
        answer.check_next.extend(
            entry.checks({"source": told.sender, "destination": told.destination})
        )

    def _flows(
        self,
        evidence: Evidence,
        mask: Mask,
        window: Window,
        newest: int = 8,
    ) -> list[flow_pb2.Flow]:
        """The newest flows of some rows, newest first."""
        flows = []
        for index in mask.nonzero()[0][::-1][:newest].tolist():
            row, sequence = evidence.rows[index], int(evidence.sequences[index])
            content = window.message(sequence) if row["message"] else b""
            flows.append(self._encoder.flow(row, sequence, content=content))
        return flows


def _tell_policy(answer: ExplainResponse, finding: PolicyFinding) -> None:
    answer.cause, answer.headline = finding.cause, finding.headline
    answer.policies.extend(finding.policies)
    if finding.unnamed:
        answer.limits.append(
            "Which rule denied it is not known here: only a Cilium agent's policy, which was not "
            "given to this server, tells."
        )


def _tell_quiet(answer: ExplainResponse, subject: Subject, evidence: Evidence) -> None:
    finding = explain_quiet(subject, evidence)
    answer.cause, answer.headline, answer.meaning = (
        finding.cause,
        finding.headline,
        finding.meaning,
    )
    answer.check_next.extend(_checks(finding.checks, subject))


def _checks(texts: tuple[str, ...], subject: Subject) -> list[str]:
    words = subject.connection.words if subject.connection is not None else {}
    return [Template(text).safe_substitute(words) for text in texts]


def _count(
    counts: explanation_pb2.DropCounts,
    subject: Subject,
    evidence: Evidence,
    window: Window,
    reason: int,
) -> None:
    own = evidence.forward | evidence.reverse
    dropped = own & evidence.dropped
    counts.connection_flows = int(np.count_nonzero(own))
    counts.connection_drops = int(np.count_nonzero(dropped))
    if not reason:
        return

    def for_reason(rows: Rows) -> Mask:
        mask: Mask = rows["drop_reason"] == np.uint32(reason)
        mask &= rows["verdict"] == _DROPPED
        return mask

    same = dropped & for_reason(evidence.rows)
    counts.connection_same_reason = int(np.count_nonzero(same))
    connection = subject.connection
    if connection is not None:
        counts.pair_same_reason = window.count(
            lambda rows: for_reason(rows) & connection.between(rows)
        )
    counts.node_same_reason = window.count(for_reason)
