"""The inventory: a YAML file of what the machine cannot tell about addresses.

In: the file. Out: `Inventory`, checked as a whole. Called by the daemon at start; the agent makes
endpoints of pods and CIDRs, the encoder takes services and DNS names. An example:

    pods:
      - {name: web-1, namespace: shop, ips: [10.0.0.5, "fd00::5"], labels: {app: web},
         workloads: [{name: web, kind: Deployment}], identity: 1234}
    services:
      - {name: web, namespace: shop, ips: [10.96.0.7], ports: [80]}
    cidrs:
      - {cidr: 192.0.2.0/24, name: office, labels: ["cidr:192.0.2.0/24"]}
    names:
      10.0.0.9: [db.example.com]
"""

import ipaddress
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails

from palomar_server.yaml_file import YamlFileError, read_yaml_mapping

_FILE_BYTES_MAX = 64 << 20
"""Bounds what is parsed at all; room for 65,535 pods of 1,000 bytes each."""
_FAULTS_SHOWN_MAX = 20
_DEFAULT_SOURCE = "k8s"
_PLAIN_WORDS = {
    "unexpected_keyword_argument": "there is no such name here",
    "missing": "it is needed and missing",
    "tuple_type": "must be a list",
    "too_short": "at least one is needed",
}
"""Type of fault -> words for people who write YAML, where pydantic's are about Python."""


class InventoryError(Exception):
    """The inventory cannot be used: one line for each fault with file, path inside, value, why."""


def _canonical_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("is no IP address") from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _canonical_cidr(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
        address = ipaddress.ip_interface(text).ip
    except ValueError:
        raise ValueError("is no CIDR such as 192.0.2.0/24") from None
    if "/" not in text or address != network.network_address:
        raise ValueError(f"is no network; did you mean {network}?")
    return str(network)


def _as_label_list(value: Any) -> Any:
    """Labels of the mapping form as KEY=VALUE; lists as they are."""
    if not isinstance(value, dict):
        return value
    if not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise ValueError("names and values of labels are text; put numbers in quotes")
    return [f"{key}={content}" for key, content in value.items()]


def _complete_label(text: str) -> str:
    key, _, content = text.partition("=")
    source, name = key.split(":", 1) if ":" in key else (_DEFAULT_SOURCE, key)
    if not source or not name:
        raise ValueError("is no label such as KEY=VALUE or SOURCE:KEY=VALUE")
    # Cilium writes a label without a value without the equals sign.
    label = f"{source}:{name}"
    return f"{label}={content}" if content else label


def _sorted_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    values: dict[str, str] = {}
    for label in labels:
        other = values.setdefault(label.partition("=")[0], label)
        if other != label:
            raise ValueError(f"{other} and {label} give one key two values")
    return tuple(sorted(values.values()))


def _distinct_addresses(value: Any) -> Any:
    """Refuse two spellings of one address as keys, of which one would win silently."""
    seen: dict[str, str] = {}
    for key in value if isinstance(value, dict) else ():
        try:
            address = _canonical_address(str(key))
        except ValueError:
            continue  # Told where it stands.
        if seen.setdefault(address, key) != key:
            raise ValueError(f"{seen[address]} and {key} are one address")
    return value


_Text: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=512)]
_Addresses: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_canonical_address)], ...], Field(min_length=1)
]
_Labels: TypeAlias = Annotated[
    tuple[Annotated[_Text, AfterValidator(_complete_label)], ...],
    AfterValidator(_sorted_labels),
    BeforeValidator(_as_label_list),
]
_Identity: TypeAlias = Annotated[int, Field(ge=1, le=(1 << 32) - 1, strict=True)]
_Port: TypeAlias = Annotated[int, Field(ge=1, le=65_535, strict=True)]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What all parts of an inventory have in common: an unknown name in the file is an error."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class InventoryWorkload(_Entry):
    """A controller that owns a pod."""

    name: _Text
    kind: _Text


@dataclass(frozen=True, slots=True)
class InventoryPod(_Entry):
    """A pod, or whatever else has a name and addresses of its own."""

    name: _Text
    namespace: _Text
    ips: _Addresses
    """In canonical form, at least one."""
    labels: _Labels = ()
    """Sorted `source:key=value`."""
    workloads: tuple[InventoryWorkload, ...] = ()
    identity: _Identity | None = None
    """Security identity; None to have one made."""


@dataclass(frozen=True, slots=True)
class InventoryService(_Entry):
    """A service, by its virtual addresses."""

    name: _Text
    namespace: _Text
    ips: _Addresses
    """In canonical form, at least one."""
    ports: tuple[_Port, ...] = ()
    """Empty for all ports."""


@dataclass(frozen=True, slots=True)
class InventoryCidr(_Entry):
    """A range of addresses, usually outside of the cluster."""

    cidr: Annotated[str, AfterValidator(_canonical_cidr)]
    name: _Text | None = None
    labels: _Labels = ()
    """Sorted `source:key=value`."""
    identity: _Identity | None = None
    """Security identity; None to have one made."""


@dataclass(frozen=True, slots=True)
class Inventory(_Entry):
    """All of it. No pod, service or range is there twice, and no address belongs to two."""

    pods: tuple[InventoryPod, ...] = ()
    services: tuple[InventoryService, ...] = ()
    cidrs: tuple[InventoryCidr, ...] = ()
    names: Annotated[
        Mapping[Annotated[str, AfterValidator(_canonical_address)], tuple[_Text, ...]],
        BeforeValidator(_distinct_addresses),
    ] = field(default_factory=dict)
    """Canonical address -> its DNS names."""


_INVENTORY = TypeAdapter(Inventory)


def load_inventory(path: Path, *, entries_max: int) -> Inventory:
    """Read and check an inventory.

    Args:
        path: the YAML file.
        entries_max: how many pods, services, CIDRs and names it may have together.

    Raises:
        InventoryError: the file cannot be read, or something in it is wrong.
    """
    try:
        content = read_yaml_mapping(path, max_bytes=_FILE_BYTES_MAX)
    except YamlFileError as error:
        raise InventoryError(str(error)) from error
    entries = sum(len(part) for part in content.values() if isinstance(part, list | dict))
    if entries > entries_max:
        raise InventoryError(f"{path}: {entries:,} entries exceed the maximum of {entries_max:,}")
    try:
        inventory = _INVENTORY.validate_python(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        lines = [f"{path}: {_fault_text(fault)}" for fault in faults[:_FAULTS_SHOWN_MAX]]
        if len(faults) > _FAULTS_SHOWN_MAX:
            lines.append(f"{path}: and {len(faults) - _FAULTS_SHOWN_MAX:,} more")
        raise InventoryError("\n".join(lines)) from error
    _refuse_duplicates(path, _owned_names(inventory))
    _refuse_duplicates(path, _owned_addresses(inventory))
    return inventory


def _fault_text(fault: ErrorDetails) -> str:
    why = _PLAIN_WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    value = "" if fault["type"] == "missing" else f" is {reprlib.repr(fault['input'])}"
    return f"{_path_inside(fault['loc'])}{value}: {why}"


def _path_inside(location: tuple[int | str, ...]) -> str:
    """A place in the file as pods[3].ips[0]."""
    text = ""
    for part in location:
        if part != "[key]":
            text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _refuse_duplicates(path: Path, owned: Iterator[tuple[str, str, str]]) -> None:
    """Refuse what is there twice, of (what, place, whose it is)."""
    first: dict[str, tuple[str, str]] = {}
    for what, place, owner in owned:
        other_place, other = first.setdefault(what, (place, owner))
        if other_place != place:
            raise InventoryError(
                f"{path}: {place} is {what} of {owner}, and so is {other_place} of {other}"
            )


def _owned_names(inventory: Inventory) -> Iterator[tuple[str, str, str]]:
    for kind in ("pod", "service"):
        for index, entry in enumerate(getattr(inventory, f"{kind}s")):
            name = f"{kind} {entry.namespace}/{entry.name}"
            yield name, f"{kind}s[{index}].name", f"the {kind} with {entry.ips[0]}"
    for index, cidr in enumerate(inventory.cidrs):
        yield cidr.cidr, f"cidrs[{index}].cidr", f"range {cidr.name or index}"


def _owned_addresses(inventory: Inventory) -> Iterator[tuple[str, str, str]]:
    for kind in ("pod", "service"):
        for index, entry in enumerate(getattr(inventory, f"{kind}s")):
            for position, ip in enumerate(entry.ips):
                place = f"{kind}s[{index}].ips[{position}]"
                yield ip, place, f"{kind} {entry.namespace}/{entry.name}"
