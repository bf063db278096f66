"""Label selectors."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.label_selector import parse_label_selectors


def selects(selector: str, *labels: str) -> bool:
    (parsed,) = parse_label_selectors("source_label", [selector])
    return parsed.matches(labels)


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ("", [], True),
        ("app", ["k8s:app=x"], True),
        ("app", [], False),
        ("!app", [], True),
        ("! app", ["k8s:app=x"], False),
        ("app=x", ["k8s:app=x"], True),
        ("app = x", ["k8s:app=x"], True),
        ("app==x", ["k8s:app=y"], False),
        ("app=", ["k8s:app"], True),
        ("app=", ["k8s:app=x"], False),
        ("app=,b", ["app", "b"], True),
        ("app!=x", [], True),
        ("app!=", ["app"], False),
        ("app in (x, y)", ["k8s:app=y"], True),
        ("app in ()", ["k8s:app"], True),
        ("app in (,x)", ["k8s:app"], True),
        ("app in (x,,y)", ["k8s:app"], True),
        ("app in (in,notin)", ["k8s:app=in"], True),
        ("app=in", ["k8s:app=in"], True),
        ("app notin (x)", ["k8s:app=x"], False),
        ("app notin ()", [], True),
        ("a=1,b=2", ["a=1", "b=2"], True),
        ("a=1,b=2", ["a=1"], False),
        ("version>1", ["version=2"], True),
        ("version>2", ["version=2"], False),
        ("version<2", ["version=-1"], True),
        ("version<2", ["version=x"], False),
        ("version>1", [], False),
        ("k8s:app=x", ["container:app=x"], False),
        ("any:app=x", ["container:app=x"], True),
        # Of two labels with the key the first counts.
        ("app=y", ["k8s:app=x", "container:app=y"], False),
        ("container:app=y", ["k8s:app=x", "container:app=y"], True),
        ("reserved:world", ["reserved:world"], True),
        ("cidr:203.0.0.0/8", ["cidr:203.0.113.0/24", "reserved:world"], True),
        ("app.kubernetes.io/name=fe", ["k8s:app.kubernetes.io/name=fe"], True),
        ("any.app=x", ["k8s:app=x"], False),
    ],
)
def test_selector_selects(selector: str, labels: list[str], *, expected: bool) -> None:
    assert selects(selector, *labels) is expected


@pytest.mark.parametrize(
    "selector",
    [
        *(" ", ",", "a,", ",a", "a,,b", "!", "!!a", "!a=b", "a b", "a=b c", "a=b c=d", "(a)", "=a"),
        *("a in", "a in b", "a in (", "a in (b", "a in (b c)", "a in (b,", "a in (=)", "a in b)"),
        *("a notin", "a=(b)", "a=!b", "a===b", "a=b)", "a>", "a>x", "a>1.5", "a>-1"),
        *("a=b:c", "a=b/c", "a=b*", "a=-b", "a=b-", "a=ü", "ün", "a<9223372036854775808"),
        *("a:b:c", "k8s:", ":a", "a-=b", "a/b/c", "/a", "a/", "A/b", "k8s:my_ns/name", "a.-b/c"),
        *("$host", "a" * 60, "a=" + "b" * 64, "x" * 250 + "/a", "a in (" + "b" * 64 + ")"),
        "y" * 10_000,
    ],
)
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(FilterError, match=r"^node_labels: "):
        parse_label_selectors("node_labels", ["a=b", selector])


def test_error_does_not_show_the_source_that_was_added() -> None:
    with pytest.raises(FilterError, match="'ü' is no name of a label"):
        parse_label_selectors("source_label", ["ü"])


def test_longest_names_are_taken() -> None:
    # The source and its dot are part of the name that Kubernetes' limit is for.
    assert selects("a" * 59 + "=" + "b" * 63, "k8s:" + "a" * 59 + "=" + "b" * 63)


@dataclass
class Wanted:
    """A requirement as a test makes it up."""

    key: str
    operator: str
    values: list[str]

    def text(self) -> str:
        if self.operator in ("", "!"):
            return f"{self.operator}{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{self.operator}{self.values[0]}"

    def holds(self, labels: dict[str, str]) -> bool:
        here = self.key in labels
        value = labels.get(self.key)
        values = self.values if self.operator in ("in", "notin") else self.values[:1]
        match self.operator:
            case "":
                return here
            case "!":
                return not here
            case "in" | "=" | "==":
                return here and value in values
            case _:
                return not here or value not in values


KEYS = st.sampled_from(["a", "b", "x.y/z", "in"])
VALUES = st.sampled_from(["", "1", "x", "notin", "a.b_c-d"])
WANTED = st.builds(
    Wanted,
    KEYS,
    st.sampled_from(["", "!", "=", "==", "!=", "in", "notin"]),
    st.lists(VALUES, min_size=1, max_size=3),
)


@given(st.lists(WANTED, max_size=4), st.dictionaries(KEYS, VALUES))
def test_selectors_say_what_their_requirements_do(
    wanted: list[Wanted], labels: dict[str, str]
) -> None:
    texts = [f"k8s:{key}={value}" for key, value in labels.items()]
    expected = all(one.holds(labels) for one in wanted)
    assert selects(",".join(one.text() for one in wanted), *texts) == expected


@given(st.text(alphabet=st.sampled_from("ab:=!<>(), \t\x00inot-./"), max_size=30) | st.text())
def test_a_text_is_a_selector_or_refused(text: str) -> None:
    try:
        (parsed,) = parse_label_selectors("source_label", [text])
    except FilterError:
        return
    assert parsed.matches([]) in (True, False)
