"""The rules about differences from Hubble that are meant to be."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

RULES = Path(__file__).resolve().parents[2] / "docs" / "deliberate-differences.yaml"
_KEYS = ("file", "cases", "reason", "instead")
_OPTIONAL_KEYS = ("defect",)


class RuleError(ValueError):
    """The file of rules is not understood; names the rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One deliberate difference."""

    file: str
    """The case file, relative to the corpus."""
    cases: str
    """A glob over the names of cases."""
    reason: str
    """Why palomar does not do what Hubble does."""
    instead: str
    """What it does."""
    defect: str = ""
    """The one defect of the original that is meant, where who runs the cases knows it by this name;
    other differences are none of this rule's."""

    def matches(self, name: str) -> bool:
        """Whether a case of the file is meant."""
        return fnmatchcase(name, self.cases)


def read_rules(path: Path = RULES) -> list[Rule]:
    """All rules, in the order of the file.

    Raises:
        RuleError: a rule lacks a key, has another, or leaves one empty.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules = []
    for number, entry in enumerate(entries or [], 1):
        keys = [*_KEYS, *_OPTIONAL_KEYS]
        if not isinstance(entry, dict) or not set(_KEYS) <= entry.keys() <= set(keys):
            raise RuleError(f"{path.name}, rule {number}: has to have the keys {', '.join(_KEYS)}")
        texts = {key: str(entry[key] or "").strip() for key in keys if key in entry}
        for key, text in texts.items():
            if not text:
                raise RuleError(f"{path.name}, rule {number}: {key} is empty")
        rules.append(Rule(**texts))
    return rules
