"""A measured figure, and the figures of a run as table and as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One number and how it came about."""

    name: str
    """What it is called in build/bench.json, unit last."""
    value: float
    unit: str
    detail: str
    """What was measured, in a few words."""
    aim: str = ""
    """What it should be."""
    hubble: str = ""
    """What Hubble measures on this kind of machine."""


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of all do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def show(figures: Sequence[Figure]) -> None:
    """Print the figures side by side with what they are held against."""
    table = Table("figure", "palomar", "unit", "aim", "Hubble", "detail")
    for figure in figures:
        value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"  # noqa: PLR2004 - no fraction where it means nothing
        table.add_row(figure.name, value, figure.unit, figure.aim, figure.hubble, figure.detail)
    Console(width=160).print(table)


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write name, value, unit and detail of each figure as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("name", "value", "unit", "detail")
    rows = [{name: dataclasses.asdict(figure)[name] for name in names} for figure in figures]
    path.write_text(json.dumps(rows, indent=1) + "\n")
