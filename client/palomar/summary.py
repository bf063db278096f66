"""One run of `palomar summary`: a question in, a table of counts out.

Called by `commands.summary`; palomard does the counting, where the flows are.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from palomar.coverage import coverage_lines
from palomar.groupings import grouping_name, parse_grouping
from palomar.output import standard_error, standard_output
from palomar.printers.escape import visible
from palomar.protojson import to_json
from palomar.quantities import bars, bytes_text, count_text, figures_table, time_text

if TYPE_CHECKING:
    from palomar.commands.invocation import Invocation
    from palomar_proto.palomar.v1.summary_pb2 import Histogram, SummarizeResponse, Totals

_BAR_CHARACTERS = 40
_SECOND_NS = 1_000_000_000
_NONE = "-"


def show_summary(
    invocation: "Invocation",
    group_by: Sequence[str],
    query: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Ask for counts and print them.

    Args:
        invocation: Makes the client.
        group_by: What to group by, as `palomar.groupings` reads it.
        query: Further keywords of `Client.summarize`.
        as_json: Whether to print the answer as JSON.

    Raises:
        PalomarError: See `palomar.errors`.
    """
    groupings = [one for text in group_by for one in parse_grouping(text)]
    with invocation.client() as client:
        answer = client.summarize(*groupings, **query)
    output = standard_output()
    if as_json:
        output.write(f"{to_json(answer)}\n")
    else:
        output.write(summary_text(answer, [grouping_name(one) for one in groupings]))
        errors = standard_error()
        for line in coverage_lines(answer.coverage):
            errors.write(f"palomar: {line}\n")
    output.flush()


def summary_text(answer: "SummarizeResponse", names: Sequence[str]) -> str:
    """Lay out the groups, the rest and the total; below them the counts over time."""
    over_time = any(group.buckets for group in answer.groups)
    heading = [*(visible(name).upper() for name in names), "FLOWS", "PACKETS", "BYTES", "LAST"]
    rows = []
    for group in answer.groups:
        values = [visible(value) or _NONE for value in group.values]
        row = [*values, *_figures(group.totals), time_text(group.last)]
        if over_time:
            row.append(bars([bucket.flows for bucket in group.buckets]))
        rows.append(row)
    if names:
        blank = [""] * (len(names) - 1)
        end = ["", ""] if over_time else [""]
        if answer.other_groups:
            label = f"({count_text(answer.other_groups)} more)"
            rows.append([label, *blank, *_figures(answer.other), *end])
        rows.append(["(all)", *blank, *_figures(answer.total), *end])
    if over_time:
        heading.append("OVER TIME")
    text = figures_table(heading, rows, names=len(names), plain=2 if over_time else 1)
    if answer.HasField("histogram"):
        text += f"\n{histogram_text(answer.histogram)}"
    return text


def histogram_text(histogram: "Histogram") -> str:
    """Draw the counts over time, a bucket a line."""
    start_ns = histogram.start.ToNanoseconds()
    width_ns = histogram.width.ToNanoseconds()
    highest = max((bucket.flows for bucket in histogram.buckets), default=0)
    rows = []
    time = type(histogram.start)()
    for place, bucket in enumerate(histogram.buckets):
        time.FromNanoseconds(start_ns + place * width_ns)
        length = bucket.flows * _BAR_CHARACTERS // highest if highest else 0
        bar = "█" * length or ("▏" if bucket.flows else "")
        shown = time_text(time, precise=bool(width_ns % _SECOND_NS))
        rows.append([shown, *_figures(bucket), bar])
    if histogram.HasField("earlier") and histogram.earlier.flows:
        rows.insert(0, ["earlier", *_figures(histogram.earlier), ""])
    heading = ["TIME", "FLOWS", "PACKETS", "BYTES", ""]
    return figures_table(heading, rows, names=1, plain=1)


def _figures(totals: "Totals") -> list[str]:
    return [count_text(totals.flows), count_text(totals.packets), bytes_text(totals.bytes)]
