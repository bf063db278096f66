"""Write the pages of the documentation that come from the code.

Usage: python docs/generate.py
"""

from __future__ import annotations

import runpy
from pathlib import Path

import yaml

from palomar_server.options import settings_table

SETTINGS = Path(__file__).with_name("settings.md")
DIFFERENCES = Path(__file__).with_name("deliberate-differences.md")
RULES = DIFFERENCES.with_suffix(".yaml")
SETTINGS_INTRODUCTION = """# Settings of palomard

A flag wins over the environment, the environment over the file (`--config`, YAML, keys as in the
first column), the file over the default. Lists take commas; their flags may also be repeated.

"""
DIFFERENCES_INTRODUCTION = """# Deliberate differences from Hubble

Cases of the [conformance corpus](conformance.md) whose outcome is meant to be another than
Hubble's, by case file and a glob over their names. Made from
[deliberate-differences.yaml](deliberate-differences.yaml).

"""


def settings_page() -> str:
    """The page of all settings."""
    return SETTINGS_INTRODUCTION + settings_table()


def differences_page() -> str:
    """The page of the rules about deliberate differences."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    if not rules:
        return DIFFERENCES_INTRODUCTION + "There are none.\n"
    lines = ["| cases | why | what palomar does instead |", "|---|---|---|"]
    for rule in rules:
        texts = [" ".join(rule[key].split()).replace("|", "\\|") for key in ("reason", "instead")]
        lines.append(f"| `{rule['file']}`: `{rule['cases']}` | {texts[0]} | {texts[1]} |")
    return DIFFERENCES_INTRODUCTION + "\n".join(lines) + "\n"


if __name__ == "__main__":
    SETTINGS.write_text(settings_page())
    DIFFERENCES.write_text(differences_page())
    runpy.run_path(str(Path(__file__).with_name("record_terminal_session.py")), run_name="__main__")
