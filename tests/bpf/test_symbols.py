from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.symbols import RECHECK_INTERVAL_S, KernelSymbols

if TYPE_CHECKING:
    from pathlib import Path

KALLSYMS = """\
ffffffff80fff000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t tcp_v4_rcv
ffffffff81000100 T alias_of_it
ffffffff81000200 D some_data
ffffffff81000300 t nft_do_chain.isra.0
ffffffff80fff000 W weak_and_out_of_order
ffffffff81000400 t split.part.3.cold
ffffffff81000500 D _etext
ffffffff81000500 t only_while_it_boots
ffffffffc0100000 d some_data_of_it\t[veth]
ffffffffc0100010 t veth_xmit\t[veth]
ffffffffc0200000 t bpf_prog_6deef7357e7b4530\t[bpf]
0000000000000000 T hidden
"""
MODULES = """\
veth 4096 0 - Live 0xffffffffc0100000 (O)
hidden 4096 0 - Live 0x0000000000000000
"""
LATER = "nf_nat 4096 1 veth, Live 0xffffffffc0101000\n"
LATER_KALLSYMS = "ffffffffc0101000 t nf_nat_inet_fn\t[nf_nat]\n"


class Kernel:
    """Files that say what the kernel has, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.kallsyms = folder / "kallsyms"
        self.modules = folder / "modules"
        self.now_s = 1000.0
        self.kallsyms.write_text(KALLSYMS)
        self.modules.write_text(MODULES)

    def symbols(self) -> KernelSymbols:
        return KernelSymbols(self.kallsyms, self.modules, clock=lambda: self.now_s)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture
def symbols(kernel: Kernel) -> KernelSymbols:
    return kernel.symbols()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0, ""),
        (0xFFFFFFFF80FFEFFF, ""),
        (0xFFFFFFFF80FFF000, "_stext"),
        (0xFFFFFFFF81000001, "_text"),
        (0xFFFFFFFF81000100, "tcp_v4_rcv"),
        (0xFFFFFFFF81000250, "tcp_v4_rcv"),
        (0xFFFFFFFF81000310, "nft_do_chain"),
        (0xFFFFFFFF81000400, "split"),
        (0xFFFFFFFF810004FF, "split"),
        (0xFFFFFFFF81000500, ""),
        (0xFFFFFFFFC0100000, ""),
        (0xFFFFFFFFC0100010, "veth_xmit"),
        (0xFFFFFFFFC0100FFF, "veth_xmit"),
        (0xFFFFFFFFC0101000, ""),
        (0xFFFFFFFFC0200001, ""),
        (0xFFFFFFFFFFFFFFFF, ""),
    ],
)
def test_function_that_contains_an_address(symbols: KernelSymbols, address: int, name: str) -> None:
    assert symbols.name(address) == name


def test_only_functions_are_kept_and_each_address_once(symbols: KernelSymbols) -> None:
    assert len(symbols) == 8


def test_modules_loaded_later_are_found_by_a_look_that_is_seldom(kernel: Kernel) -> None:
    symbols = kernel.symbols()
    kernel.kallsyms.write_text(KALLSYMS + LATER_KALLSYMS)
    kernel.modules.write_text(MODULES + LATER)
    assert symbols.name(0xFFFFFFFFC0101001) == ""
    kernel.now_s += RECHECK_INTERVAL_S
    assert symbols.name(0xFFFFFFFFC0101001) == "nf_nat_inet_fn"
    assert symbols.name(0xFFFFFFFFC0100FFF) == "veth_xmit"
    kernel.modules.write_text(LATER)
    assert symbols.name(0xFFFFFFFFC0200001) == ""
    kernel.now_s += RECHECK_INTERVAL_S
    assert symbols.name(0xFFFFFFFFC0200001) == ""
    assert symbols.name(0xFFFFFFFFC0100FFF) == ""


def test_functions_are_read_again_only_when_modules_are_others(kernel: Kernel) -> None:
    symbols = kernel.symbols()
    kernel.kallsyms.unlink()
    kernel.modules.write_text(MODULES.replace(" 0 - ", " 7 - "))  # more users
    kernel.now_s += RECHECK_INTERVAL_S
    assert symbols.name(0xFFFFFFFFC0101001) == ""
    assert symbols.name(0xFFFFFFFFC0100FFF) == "veth_xmit"


def test_what_was_known_stays_where_it_cannot_be_read_again(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    symbols = kernel.symbols()
    kernel.kallsyms.unlink()
    kernel.modules.write_text(MODULES + LATER)
    kernel.now_s += RECHECK_INTERVAL_S
    assert symbols.name(0xFFFFFFFFC0101001) == ""
    assert symbols.name(0xFFFFFFFFC0100FFF) == "veth_xmit"
    assert "kallsyms" in caplog.text


def test_a_module_ends_where_the_next_begins(kernel: Kernel) -> None:
    kernel.kallsyms.write_text(KALLSYMS + LATER_KALLSYMS)
    kernel.modules.write_text(MODULES.replace("4096", "65536") + LATER.replace("1000\n", "1080\n"))
    symbols = kernel.symbols()
    assert symbols.name(0xFFFFFFFFC010107F) == "nf_nat_inet_fn"  # told to be of the first one
    assert symbols.name(0xFFFFFFFFC0101080) == ""  # no function of the second one begins before


def test_a_kernel_without_modules_has_its_own_functions(kernel: Kernel) -> None:
    kernel.modules.unlink()
    assert kernel.symbols().name(0xFFFFFFFF81000101) == "tcp_v4_rcv"
    assert kernel.symbols().name(0xFFFFFFFFC0100010) == ""


def test_hidden_addresses_leave_all_unknown(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_text("0000000000000000 T _stext\n0000000000000000 t tcp_v4_rcv\n")
    symbols = KernelSymbols(path, tmp_path / "modules")
    assert symbols.name(0xFFFFFFFF81000100) == ""
    assert len(symbols) == 0


@given(
    st.dictionaries(
        st.integers(1, 2**64 - 1),
        st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True),
        min_size=1,
    ),
    st.integers(0, 2**64 - 1),
    st.tuples(st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1)).map(sorted),
)
def test_index_agrees_with_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory,
    functions: dict[int, str],
    address: int,
    text: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("symbols")
    start, end = text
    bounds = f"{start:016x} A _stext\n{end:016x} A _etext\n"
    (folder / "kallsyms").write_text(
        "".join(f"{at:016x} t {name}\n" for at, name in functions.items()) + bounds
    )
    symbols = KernelSymbols(folder / "kallsyms", folder / "modules")
    below = [at for at in functions if start <= at <= address < end]
    assert symbols.name(address) == (functions[max(below)] if below else "")


@pytest.mark.live
def test_this_kernel_has_functions(live: None) -> None:
    assert len(KernelSymbols()) > 10_000
