"""Write the pages of the documentation that come from the code.

Usage: python docs/generate.py
"""

from __future__ import annotations

from pathlib import Path

from palomar_server.options import settings_table

SETTINGS = Path(__file__).with_name("settings.md")
INTRODUCTION = """# Settings of palomard

A flag wins over the environment, the environment over the file (`--config`, YAML, keys as in the
first column), the file over the default. Lists take commas; their flags may also be repeated.

"""


def settings_page() -> str:
    """The page of all settings."""
    return INTRODUCTION + settings_table()


if __name__ == "__main__":
    SETTINGS.write_text(settings_page())
