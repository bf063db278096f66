"""What the agent itself tells: that it started, and which local endpoints came and went.

In go the context objects that sources give, in order; out come payload batches that pass listeners
and decoder like any other. Called by the agent. Nothing but the context decides, so that a
recording, which has the context and not these notices, plays the same ones at the same times.

Keys of a context object heeded here, beside `surroundings`:
- `started_ns`: int, when the agent that recorded this started, UTC ns.
- `endpoints`: those whose `id` is not 0 are local.

The notices are Cilium's (`palomar_proto.monitor.agent_notice`), their JSON that of its agent:
`id`, `labels`, `pod-name` and `namespace`, the names left out when empty; `time` as in RFC 3339.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from palomar_bpf.batch import PayloadBatch
from palomar_proto.monitor import agent_notice
from palomar_proto.monitor.agent_notice import NoticeType
from palomar_server.context_object import NOT_UNDERSTOOD, TIME_BITS, endpoint, unsigned
from palomar_server.surroundings import ContextError

if TYPE_CHECKING:
    from palomar_server.endpoints import Endpoint
    from palomar_server.surroundings import Context

_NS_PER_S = 1_000_000_000


class AgentNotices:
    """Follows the context and says what of it is news. Belongs to the agent.

    It remembers at most as many endpoints as there are ids.
    """

    def __init__(self) -> None:
        self._local: dict[int, tuple[str, dict[str, Any]]] = {}
        """By id, the key of each local endpoint in the context, and what its notices tell."""
        self._ids: dict[str, int] = {}
        """The other way round: by key the id."""

    def of(self, context: Context) -> list[PayloadBatch]:
        """The notices that a context object gives cause for, a batch for each time.

        Args:
            context: one that `Surroundings.apply` has taken.

        Raises:
            ContextError: `started_ns` is no time.
        """
        notices: dict[int, list[bytes]] = {}
        if "started_ns" in context:
            at_ns, text = _time(context["started_ns"])
            notice = agent_notice.encode(NoticeType.AGENT_STARTED, {"time": text})
            notices.setdefault(at_ns, []).append(notice)
        for key, change in context.get("endpoints", {}).items():
            at_ns = int(change.get("removed_ns", change.get("at_ns", 0)))
            notices.setdefault(at_ns, []).extend(self._changed(key, change))
        return [
            PayloadBatch.of(payloads, received_ns=at_ns)
            for at_ns, payloads in notices.items()
            if payloads
        ]

    def _changed(self, key: str, change: dict[str, Any]) -> list[bytes]:
        """Notices of one change: who had this key or this id is gone, if it was another one."""
        told = {} if "removed_ns" in change else _told(endpoint(change))
        endpoint_id = told.get("id", 0)
        if endpoint_id and self._local.get(endpoint_id) == (key, told):
            return []
        before = dict.fromkeys((self._ids.get(key, 0), endpoint_id))
        notices = [self._went(one) for one in before if one in self._local]
        if endpoint_id:
            self._local[endpoint_id] = key, told
            self._ids[key] = endpoint_id
            notices.append(agent_notice.encode(NoticeType.ENDPOINT_CREATED, told))
        return notices

    def _went(self, endpoint_id: int) -> bytes:
        key, told = self._local.pop(endpoint_id)
        del self._ids[key]
        return agent_notice.encode(NoticeType.ENDPOINT_DELETED, told)


def _told(endpoint: Endpoint) -> dict[str, Any]:
    """What a notice tells of an endpoint; {} of one that is not local."""
    if not endpoint.id:
        return {}
    told = {
        "id": endpoint.id,
        "labels": list(endpoint.labels),
        "pod-name": endpoint.pod_name,
        "namespace": endpoint.namespace,
    }
    # The labels stand there in any case: an id alone is taken for another kind of notice.
    return {name: value for name, value in told.items() if value or name == "labels"}


def _time(value: Any) -> tuple[int, str]:
    """UTC ns, and the same as text with as many decimals as it needs.

    Raises:
        ContextError: it is no time.
    """
    try:
        at_ns = unsigned(value, TIME_BITS)
    except NOT_UNDERSTOOD as error:
        raise ContextError(
            f"started_ns of a context object is not understood: {type(error).__name__}: {error}"
        ) from error
    seconds, nanoseconds = divmod(at_ns, _NS_PER_S)
    day = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return at_ns, f"{day}.{nanoseconds:09}".rstrip("0").removesuffix(".") + "Z"
