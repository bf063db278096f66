"""One run of `palomar hints`: a field in, its values out, the frequent ones first.

Called by `commands.hints`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from palomar.coverage import coverage_lines
from palomar.output import standard_error, standard_output
from palomar.printers.escape import visible
from palomar.protojson import to_json
from palomar.quantities import count_text, figures_table

if TYPE_CHECKING:
    from palomar.commands.invocation import Invocation
    from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse


def show_hints(
    invocation: "Invocation", field: str, search: str, query: Mapping[str, Any], *, as_json: bool
) -> None:
    """Ask for the values of a field and print them.

    Args:
        invocation: Makes the client.
        field: As `palomar.groupings` names it.
        search: What values must begin with.
        query: Further keywords of `Client.hints`.
        as_json: Whether to print the answer as JSON.

    Raises:
        PalomarError: See `palomar.errors`.
    """
    with invocation.client() as client:
        answer = client.hints(field, search, **query)
    output, errors = standard_output(), standard_error()
    if as_json:
        output.write(f"{to_json(answer)}\n")
        output.flush()
        return
    output.write(hints_text(answer, field))
    output.flush()
    if not answer.hints:
        likely = ", ".join(visible(hint.value) for hint in answer.similar)
        advice = f"; did you mean {likely}?" if likely else ""
        like = f" like {visible(search)}" if search else ""
        errors.write(f"palomar: no flow has a {visible(field)}{like}{advice}\n")
    elif answer.truncated:
        more = answer.distinct - len(answer.hints)
        errors.write(f"palomar: {count_text(more)} more values; raise --limit to see them\n")
    for line in coverage_lines(answer.coverage):
        errors.write(f"palomar: {line}\n")


def hints_text(answer: "FilterHintsResponse", field: str) -> str:
    """Lay out the values with how many flows have them; nothing without values."""
    if not answer.hints:
        return ""
    sided = any(hint.flows_as_source or hint.flows_as_destination for hint in answer.hints)
    heading = [visible(field).upper(), "FLOWS", *(("FROM", "TO") if sided else ())]
    rows = []
    for hint in answer.hints:
        row = [visible(hint.value) or "-", count_text(hint.flows)]
        if sided:
            row += [count_text(hint.flows_as_source), count_text(hint.flows_as_destination)]
        rows.append(row)
    return figures_table(heading, rows, names=1)
