from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from palomar_bpf import btf as btf_module
from palomar_bpf.btf import KernelBtf
from palomar_bpf.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def btf(live: None) -> Iterator[KernelBtf]:
    with KernelBtf() as opened:
        yield opened


@pytest.mark.live
def test_offsets_of_types_that_are_kernel_abi(btf: KernelBtf) -> None:
    # struct iphdr and ipv6hdr are the headers on the wire, so these are known.
    assert btf.offset("iphdr", "protocol") == 9
    assert btf.offset("iphdr", "saddr") == 12  # in an anonymous union and struct
    assert btf.offset("ipv6hdr", "nexthdr") == 6


@pytest.mark.live
def test_path_leads_through_members_and_typedefs(btf: KernelBtf) -> None:
    inner = btf.offset("sock_common", "skc_net")
    assert (
        btf.offset("sock", "__sk_common.skc_net.net") == btf.offset("sock", "__sk_common") + inner
    )


@pytest.mark.live
@pytest.mark.parametrize(
    ("struct", "path"),
    [
        ("no_such_struct", "x"),
        ("iphdr", "no_such_member"),
        ("iphdr", "saddr.x"),
        ("iphdr", "version"),
    ],
)
def test_what_has_no_byte_offset_is_a_lookup_error(btf: KernelBtf, struct: str, path: str) -> None:
    with pytest.raises(LookupError, match=struct):
        btf.offset(struct, path)


@pytest.mark.live
def test_enum_values_and_absent_enums(btf: KernelBtf) -> None:
    assert btf.enum("bpf_map_type")["BPF_MAP_TYPE_HASH"] == 1
    assert btf.enum("no_such_enum") == {}
    assert btf.enum("anything", "no_such_module") == {}


@pytest.mark.live
def test_tracepoints_tell_how_many_arguments_they_have(btf: KernelBtf) -> None:
    assert btf.tracepoint_arguments("kfree_skb") >= 2
    assert btf.tracepoint_arguments("no_such_tracepoint") == 0


@pytest.mark.live
def test_closed_btf_refuses_and_closing_twice_is_harmless(live: None) -> None:
    btf = KernelBtf()
    btf.close()
    btf.close()
    with pytest.raises(ValueError, match="closed"):
        btf.offset("sk_buff", "dev")


def test_kernel_without_btf_is_told_what_to_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(btf_module, "VMLINUX", tmp_path / "vmlinux")
    with pytest.raises(LoadError, match="CONFIG_DEBUG_INFO_BTF"):
        KernelBtf()


def test_missing_library_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(btf_module, "VMLINUX", tmp_path)
    monkeypatch.setattr(btf_module, "LIBRARY", "libbpf-that-is-not-there.so.1")
    with pytest.raises(LoadError, match="apt install libbpf1"):
        KernelBtf()
