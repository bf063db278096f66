"""Values in context objects, checked and made into what the tables hold.

What raises here is anything that wrong JSON can lead to; `Surroundings.apply` names the key.
"""

from __future__ import annotations

import re
from typing import Any

from palomar_server.address import Address, parse_address
from palomar_server.endpoints import Endpoint
from palomar_server.names import Service
from palomar_server.policies import PolicyEntry, PolicyKey

TIME_BITS = 63
"""Of times: grace times are added to them."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_IS_EGRESS = {"ingress": False, "egress": True}

NOT_UNDERSTOOD = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What the functions here raise for a value of the wrong form."""


def unsigned(value: Any, bits: int) -> int:
    """The number, if its column can hold it."""
    number = int(value)
    if not 0 <= number < 1 << bits:
        raise ValueError(f"{number} is no unsigned number of {bits} bits")
    return number


def text(value: Any) -> str:
    """The value as text that can be encoded, with U+FFFD in the place of each lone surrogate.

    JSON can spell them, and names of files and links that are not UTF-8 become such.
    """
    return _SURROGATES.sub("\ufffd", str(value))


def texts(value: Any) -> tuple[str, ...]:
    """The texts of a list."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is no list")
    return tuple(map(text, value))


def labels(value: Any) -> tuple[str, ...]:
    """The labels of a list, without the equals sign of an empty value, as Cilium writes them."""
    return tuple(
        one[:-1] if one.endswith("=") and one.count("=") == 1 else one for one in texts(value)
    )


def endpoint(change: dict[str, Any]) -> Endpoint:
    """The endpoint that a change describes."""
    return Endpoint(
        id=unsigned(change.get("id", 0), 16),
        identity=unsigned(change.get("identity", 0), 32),
        namespace=text(change.get("namespace", "")),
        pod_name=text(change.get("pod_name", "")),
        cluster_name=text(change.get("cluster_name", "")),
        labels=labels(change.get("labels", ())),
        workloads=tuple((text(name), text(kind)) for name, kind in change.get("workloads", ())),
    )


def addresses(value: Any) -> tuple[Address, ...]:
    """The addresses of a list of texts."""
    return tuple(map(parse_address, texts(value)))


def service(value: dict[str, Any]) -> Service:
    """The service that a value describes."""
    return Service(text(value["name"]), text(value["namespace"]))


def policy(entries: list[dict[str, Any]]) -> dict[PolicyKey, PolicyEntry]:
    """The policy of an endpoint."""
    return {
        PolicyKey(
            egress=_IS_EGRESS[entry["direction"]],
            identity=unsigned(entry.get("identity", 0), 32),
            protocol=unsigned(entry.get("protocol", 0), 8),
            port=unsigned(entry.get("port", 0), 16),
        ): PolicyEntry(
            rules=tuple(map(texts, entry.get("rules", ()))),
            revision=unsigned(entry.get("revision", 0), 64),
            log=texts(entry.get("log", ())),
        )
        for entry in entries
    }
