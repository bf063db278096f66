"""Names of recordings and of their files: nothing else of a caller's reaches the file system."""

from __future__ import annotations

import re

SUFFIXES = (".pcapng", ".pcap")
"""Of files with packets."""
PARTIAL_SUFFIX = ".partial"
"""Behind the name of a file that is still written to, or was when palomard died."""
SIDECAR_SUFFIX = ".json"
"""Behind the name of a file, for the facts about it."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_STEM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,219}")
_FOREIGN = re.compile(r"[^A-Za-z0-9_.-]")
# Host names may have 253 characters; name, id and suffixes need their share of a file name's 255.
_NODE_CHARACTERS_MAX = 128


class InvalidNameError(ValueError):
    """A name that recordings or their files cannot have; the text is for the caller."""


def check_name(name: str) -> str:
    """The name, if a recording can have it.

    Raises:
        InvalidNameError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"name {_shown(name)}: lower-case letters, digits and hyphens are allowed, up to 40, "
            "the first a letter"
        )
    return name


def check_file_name(file_name: str) -> str:
    """The name, if it is one of a file with packets: a stem and one of `SUFFIXES`, no folder.

    Raises:
        InvalidNameError: it is not.
    """
    for suffix in SUFFIXES:
        if file_name.endswith(suffix) and _STEM.fullmatch(file_name.removesuffix(suffix)):
            return file_name
    raise InvalidNameError(
        f"file name {_shown(file_name)}: letters, digits and _ . - are allowed, up to 220, the "
        f"first no dot or hyphen, and then {' or '.join(SUFFIXES)}"
    )


def node_part(node_name: str) -> str:
    """A node's name as it stands in names of files: each foreign character becomes "_"."""
    return _FOREIGN.sub("_", node_name)[:_NODE_CHARACTERS_MAX]


def file_stem(recording_id: str, node_name: str) -> str:
    """Name of a recording's file, without its suffix: "<id>_<node>"."""
    return f"{recording_id}_{node_part(node_name)}"


def _shown(name: str) -> str:
    """A caller's text, so short and plain that it may stand in an error."""
    return ascii(name if len(name) <= 60 else f"{name[:57]}...")  # noqa: PLR2004 - one line
