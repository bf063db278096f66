"""One run of `palomar top`: lists that are counted anew every few seconds, until Ctrl-C.

In: the names of lists and which flows. Out: on a terminal a screen that rich draws; elsewhere the
lists as text, once. Called by `commands.top`.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from palomar.coverage import coverage_lines
from palomar.errors import ServerUnavailable
from palomar.output import standard_error, standard_output
from palomar.printers.escape import visible
from palomar.quantities import bytes_text, count_text, figures_table, rate_text
from palomar.top_lists import TopList, TopRow, count_list

if TYPE_CHECKING:
    from rich.console import RenderableType

    from palomar.client import Client
    from palomar.commands.invocation import Invocation

_FIGURES = ("FLOWS", "FLOWS/S", "DROPPED", "BYTES")
_VALUE_CHARACTERS = 32
_FIGURE_CHARACTERS = 10
"""At least so wide, so that the columns of all lists stand below each other."""

_NARROW_CHARACTERS = 76
"""On terminals narrower than this, names would have no room beside all figures."""

_FIGURES_FIRST = ("FLOWS", "DROPPED")
"""What such a terminal shows of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopView:
    """What to show.

    Attributes:
        names: The lists.
        scope: Keywords of `Client.summarize` that say which flows.
        rows_max: Rows of each list.
        window_s: How many seconds back the figures go.
        interval_s: Seconds between two counts.
        once: Whether to count only once.
    """

    names: Sequence[str]
    scope: Mapping[str, Any]
    rows_max: int
    window_s: float
    interval_s: float
    once: bool

    def count(self, client: "Client") -> list[TopList]:
        """Count all lists."""
        scope = {**self.scope, "since": timedelta(seconds=self.window_s)}
        return [count_list(client, name, scope, self.rows_max) for name in self.names]


def show_top(invocation: "Invocation", view: TopView) -> None:
    """Count and show, on a terminal again and again.

    Raises:
        PalomarError: See `palomar.errors`; a server that goes away later is waited for.
    """
    with invocation.client() as client:
        lists = view.count(client)
        # A terminal that cannot move its cursor would show nothing before the end.
        dumb = os.environ.get("TERM", "") in {"dumb", "unknown"}
        if view.once or dumb or not sys.stdout.isatty():
            _print(lists, view)
        else:
            _draw(client, lists, view)


def _print(lists: Sequence[TopList], view: TopView) -> None:
    output = standard_output()
    output.write("\n".join(top_text(top, view.window_s) for top in lists))
    output.flush()
    errors = standard_error()
    for line in _remarks(lists, view.window_s):
        errors.write(f"palomar: {line}\n")


def top_text(top: TopList, window_s: float) -> str:
    """Lay out a list as plain text."""
    rows = [[visible(row.value), *_cells(row, window_s)] for row in top.rows]
    return figures_table([visible(top.title).upper(), *_FIGURES], rows, names=1)


def _draw(client: "Client", lists: list[TopList], view: TopView) -> None:
    """Draw on the terminal until Ctrl-C, and leave the last picture behind."""
    from rich.console import Console  # noqa: PLC0415 - large, and only for this
    from rich.live import Live  # noqa: PLC0415 - likewise

    console = Console(highlight=False, markup=False, emoji=False)
    heading = _heading(client, view)
    picture = top_picture(lists, view.window_s, heading, console.width)
    try:
        with Live(picture, console=console, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(view.interval_s)
                trouble = ""
                try:
                    lists = view.count(client)
                except ServerUnavailable as error:
                    trouble = f"  {visible(str(error))}"
                picture = top_picture(lists, view.window_s, heading + trouble, console.width)
                live.update(picture, refresh=True)
    finally:
        console.print(picture)


def top_picture(
    lists: Sequence[TopList],
    window_s: float,
    heading: str,
    width_characters: int = _NARROW_CHARACTERS,
) -> "RenderableType":
    """Lay out the lists for rich.

    Args:
        lists: The lists, counted.
        window_s: How many seconds back they go.
        heading: Stands above them; fit to show already.
        width_characters: How wide the terminal is.
    """
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    narrow = width_characters < _NARROW_CHARACTERS
    shown = [place for place, name in enumerate(_FIGURES) if name in _FIGURES_FIRST or not narrow]
    parts: list[RenderableType] = [Text(heading, style="bold")]
    for top in lists:
        table = Table(box=None, pad_edge=False, expand=False, header_style="bold cyan")
        table.add_column(
            visible(top.title).upper(),
            min_width=0 if narrow else _VALUE_CHARACTERS,
            overflow="ellipsis",
        )
        for place in shown:
            table.add_column(
                _FIGURES[place],
                justify="right",
                no_wrap=True,
                min_width=0 if narrow else _FIGURE_CHARACTERS,
            )
        for row in top.rows:
            # Text, since a name of somebody else's might look like rich's markup.
            figures = list(_cells(row, window_s))
            cells = [visible(row.value), *(figures[place] for place in shown)]
            style = "red" if row.drops == row.flows else ""
            table.add_row(*map(Text, cells), style=style)
        parts += [Text(""), table]
    parts += [Text(line, style="yellow") for line in _remarks(lists, window_s)]
    return Group(*parts)


def _heading(client: "Client", view: TopView) -> str:
    return f"palomar top  {visible(client.server)}  last {view.window_s:.0f} s"


def _cells(row: TopRow, window_s: float) -> Iterator[str]:
    yield count_text(row.flows)
    yield rate_text(row.flows / window_s)
    yield count_text(row.drops)
    yield bytes_text(row.bytes)


def _remarks(lists: Sequence[TopList], window_s: float) -> list[str]:
    if not any(top.rows for top in lists):
        return [f"no flow matches in the last {window_s:.0f} s"]
    coverage = next((top.coverage for top in lists if top.coverage is not None), None)
    return [] if coverage is None else coverage_lines(coverage)
