from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.symbols import KernelSymbols

if TYPE_CHECKING:
    from pathlib import Path

KALLSYMS = """\
ffffffff81000000 T _text
ffffffff81000100 t tcp_v4_rcv
ffffffff81000100 T alias_of_it
ffffffff81000200 D some_data
ffffffff81000300 t nft_do_chain.isra.0\t[nf_tables]
ffffffff80fff000 W weak_and_out_of_order
ffffffff81000400 t split.part.3.cold
0000000000000000 T hidden
"""


@pytest.fixture
def symbols(tmp_path: Path) -> KernelSymbols:
    path = tmp_path / "kallsyms"
    path.write_text(KALLSYMS)
    return KernelSymbols(path)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0, ""),
        (0xFFFFFFFF80FFEFFF, ""),
        (0xFFFFFFFF80FFF000, "weak_and_out_of_order"),
        (0xFFFFFFFF81000001, "_text"),
        (0xFFFFFFFF81000100, "tcp_v4_rcv"),
        (0xFFFFFFFF81000250, "tcp_v4_rcv"),
        (0xFFFFFFFF81000310, "nft_do_chain"),
        (0xFFFFFFFF81000400, "split"),
        (0xFFFFFFFFFFFFFFFF, "split"),
    ],
)
def test_function_that_contains_an_address(symbols: KernelSymbols, address: int, name: str) -> None:
    assert symbols.name(address) == name


def test_only_functions_are_kept_and_each_address_once(symbols: KernelSymbols) -> None:
    assert len(symbols) == 5


def test_hidden_addresses_leave_all_unknown(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_text("0000000000000000 T _text\n0000000000000000 t tcp_v4_rcv\n")
    assert KernelSymbols(path).name(0xFFFFFFFF81000100) == ""


@given(
    st.dictionaries(
        st.integers(1, 2**64 - 1),
        st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True),
        min_size=1,
    ),
    st.integers(0, 2**64 - 1),
)
def test_index_agrees_with_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, functions: dict[int, str], address: int
) -> None:
    path = tmp_path_factory.mktemp("symbols") / "kallsyms"
    path.write_text("".join(f"{at:016x} t {name}\n" for at, name in functions.items()))
    below = [at for at in functions if at <= address]
    assert KernelSymbols(path).name(address) == (functions[max(below)] if below else "")


@pytest.mark.live
def test_this_kernel_has_functions(live: None) -> None:
    assert len(KernelSymbols()) > 10_000
