from click.testing import CliRunner

from palomar.cli import cli
from palomar.hint_list import hints_text
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse, Hint

PODS = FilterHintsResponse(
    hints=[
        Hint(value="shop/web-1", flows=1200, flows_as_source=1000, flows_as_destination=300),
        Hint(value="shop/web-2\x1b[31m", flows=3, flows_as_source=3),
    ],
    distinct=5,
    truncated=True,
)


def test_values_of_ends_have_a_figure_for_each() -> None:
    assert hints_text(PODS, "pod").splitlines() == [
        "POD                FLOWS    FROM    TO",
        "shop/web-1         1,200   1,000   300",
        "shop/web-2^[[31m       3       3     0",
    ]


def test_other_values_have_one_figure() -> None:
    answer = FilterHintsResponse(hints=[Hint(value="", flows=2)])
    assert hints_text(answer, "verdict").splitlines() == ["VERDICT   FLOWS", "-             2"]


def test_rest_and_likely_values_are_told_beside_the_list() -> None:
    with FakeObserver(hints=PODS) as server:
        shown = CliRunner().invoke(cli, ["hints", "pod", "--server", server.target])
    assert "3 more values" in shown.stderr
    none = FilterHintsResponse(similar=[Hint(value="shop/web-1")])
    with FakeObserver(hints=none) as server:
        shown = CliRunner().invoke(cli, ["hints", "pod", "wbe", "--server", server.target])
    assert (shown.stdout, shown.exit_code) == ("", 0)
    assert shown.stderr == "palomar: no flow has a pod like wbe; did you mean shop/web-1?\n"


def test_json_is_the_answer_itself() -> None:
    with FakeObserver(hints=PODS) as server:
        shown = CliRunner().invoke(cli, ["hints", "pod", "-o", "json", "--server", server.target])
    assert '"distinct":"5"' in shown.stdout
