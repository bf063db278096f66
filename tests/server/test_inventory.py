from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from palomar_server import inventory as inventory_module
from palomar_server.inventory import (
    Inventory,
    InventoryCidr,
    InventoryError,
    InventoryPod,
    InventoryService,
    InventoryWorkload,
    load_inventory,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inventory.yaml"


def load(path: Path, text: str, *, entries_max: int = 100) -> Inventory:
    path.write_text(text, encoding="utf-8")
    return load_inventory(path, entries_max=entries_max)


def pods(*pods: str) -> str:
    return "pods:\n" + "".join(f"  - {{{pod}}}\n" for pod in pods)


def fault(path: Path, text: str) -> str:
    with pytest.raises(InventoryError) as caught:
        load(path, text)
    return str(caught.value)


def test_the_example_of_the_documentation_loads(path: Path) -> None:
    example = (inventory_module.__doc__ or "").partition("An example:\n")[2]
    assert load(path, example) == Inventory(
        pods=(
            InventoryPod(
                name="web-1",
                namespace="shop",
                ips=("10.0.0.5", "fd00::5"),
                labels=("k8s:app=web",),
                workloads=(InventoryWorkload("web", "Deployment"),),
                identity=1234,
            ),
        ),
        services=(InventoryService("web", "shop", ("10.96.0.7",), (80,)),),
        cidrs=(InventoryCidr("192.0.2.0/24", "office", ("cidr:192.0.2.0/24",)),),
        names={"10.0.0.9": ("db.example.com",)},
    )


def test_an_empty_file_is_an_empty_inventory(path: Path) -> None:
    assert load(path, "") == Inventory()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("{b: x, a: y}", ("k8s:a=y", "k8s:b=x")),
        ("[b=x, a=y]", ("k8s:a=y", "k8s:b=x")),
        ("['reserved:host', 'k8s:a=y']", ("k8s:a=y", "reserved:host")),
        ("{'reserved:host': '', a: y}", ("k8s:a=y", "reserved:host")),
        ("[a=, 'a']", ("k8s:a",)),
        ("[a=x=y]", ("k8s:a=x=y",)),
        ("['cidr:fd00::/8']", ("cidr:fd00::/8",)),
        ("['a=http://b']", ("k8s:a=http://b",)),
        ("[]", ()),
    ],
)
def test_labels_of_both_forms_become_a_sorted_list(
    path: Path, labels: str, expected: tuple[str, ...]
) -> None:
    found = load(path, pods(f"name: a, namespace: b, ips: [1.2.3.4], labels: {labels}"))
    assert found.pods[0].labels == expected


def test_addresses_become_canonical(path: Path) -> None:
    found = load(path, pods("name: a, namespace: b, ips: ['FD00:0::1', '::ffff:1.2.3.4']"))
    assert found.pods[0].ips == ("fd00::1", "1.2.3.4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (pods("name: a, namespace: b, ips: [1.2.3]"), "pods[0].ips[0] is '1.2.3': is no IP"),
        (pods("name: a, namespace: b, ips: []"), "pods[0].ips is []: at least one is needed"),
        (pods("name: a, namespace: b"), "pods[0].ips: it is needed and missing"),
        (pods("name: 7, namespace: b, ips: ['::1']"), "pods[0].name is 7: Input should be a valid"),
        (
            pods("name: a, namespace: b, ips: [1.2.3.4], identity: '7'"),
            "pods[0].identity is '7': Input should be a valid integer",
        ),
        (
            pods("name: a, namespace: b, ips: [1.2.3.4], identity: 0"),
            "pods[0].identity is 0: Input should be greater than or equal to 1",
        ),
        (
            pods("name: a, namespace: b, ips: [1.2.3.4], label: {}"),
            "pods[0].label is {}: there is no such name here",
        ),
        (
            pods("name: a, namespace: b, ips: [1.2.3.4], labels: {a: 1}"),
            "pods[0].labels is {'a': 1}: names and values of labels are text; put numbers in",
        ),
        (
            pods("name: a, namespace: b, ips: [1.2.3.4], labels: [a=1, 'k8s:a=2']"),
            "k8s:a=1 and k8s:a=2 give one key two values",
        ),
        (
            pods("name: a, namespace: b, ips: [1.2.3.4], labels: ['=x']"),
            "pods[0].labels[0] is '=x': is no label",
        ),
        (
            pods("name: a, namespace: b, ips: [1.2.3.4], workloads: [{name: w}]"),
            "pods[0].workloads[0].kind: it is needed and missing",
        ),
        ("pods: 7", "pods is 7: must be a list"),
        ("pod: []", "pod is []: there is no such name here"),
        (
            "services: [{name: a, namespace: b, ips: ['::1'], ports: [70000]}]",
            "services[0].ports[0] is 70000: Input should be less than or equal to 65535",
        ),
        ("cidrs: [{cidr: 10.0.0.1/8}]", "cidrs[0].cidr is '10.0.0.1/8': is no network; did you"),
        ("cidrs: [{cidr: 10.0.0.1}]", "did you mean 10.0.0.1/32?"),
        ("cidrs: [{cidr: ten}]", "is no CIDR such as"),
        ("names: {somewhere: [a]}", "names.somewhere is 'somewhere': is no IP address"),
        ("names: {1.2.3.4: [a], '::ffff:1.2.3.4': [b]}", "1.2.3.4 and ::ffff:1.2.3.4 are one"),
        ("- pods", "holds a list, must hold a mapping"),
    ],
)
def test_a_fault_is_told_with_its_place_and_value(path: Path, text: str, expected: str) -> None:
    told = fault(path, text)
    assert expected in told
    assert all(line.startswith(f"{path}: ") for line in told.splitlines())


def test_every_fault_is_told_up_to_a_bound(path: Path) -> None:
    told = fault(path, pods(*["name: a, namespace: b, ips: [x]"] * 30)).splitlines()
    assert "pods[1].ips[0]" in told[1] or "pods[0].ips" in told[1]
    assert len(told) == 21
    assert "more" in told[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            pods("name: a, namespace: n, ips: [1.2.3.4]", "name: b, namespace: n, ips: [1.2.3.4]"),
            "pods[1].ips[0] is 1.2.3.4 of pod n/b, and so is pods[0].ips[0] of pod n/a",
        ),
        (
            pods("name: a, namespace: n, ips: [1.2.3.4]")
            + "services: [{name: s, namespace: n, ips: ['::ffff:1.2.3.4']}]",
            "services[0].ips[0] is 1.2.3.4 of service n/s, and so is pods[0].ips[0] of pod n/a",
        ),
        (
            pods("name: a, namespace: n, ips: [1.2.3.4]", "name: a, namespace: n, ips: [1.2.3.5]"),
            "pods[1].name is pod n/a",
        ),
        ("cidrs: [{cidr: 10.0.0.0/8}, {cidr: 10.0.0.0/8}]", "cidrs[1].cidr is 10.0.0.0/8"),
        ("names:\n  1.2.3.4: [a]\n  1.2.3.4: [b]", "stands here again, after line 2"),
    ],
)
def test_what_is_there_twice_is_refused_with_both_places(
    path: Path, text: str, expected: str
) -> None:
    assert expected in fault(path, text)


def test_the_same_name_in_two_namespaces_is_fine(path: Path) -> None:
    text = pods("name: a, namespace: n, ips: [1.2.3.4]", "name: a, namespace: m, ips: [1.2.3.5]")
    assert len(load(path, text).pods) == 2


def test_entries_are_bounded(path: Path) -> None:
    text = "names: {1.2.3.4: [a], 1.2.3.5: [b]}\ncidrs: [{cidr: 10.0.0.0/8}]"
    assert load(path, text, entries_max=3).cidrs
    with pytest.raises(InventoryError, match="3 entries exceed the maximum of 2"):
        load(path, text, entries_max=2)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(InventoryError, match=r"inventory\.yaml: cannot be read: No such file"):
        load_inventory(path, entries_max=1)
