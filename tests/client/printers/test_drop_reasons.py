import pytest

from palomar.printers.drop_reasons import drop_reason_name, drop_text
from palomar_proto.flow.flow_pb2 import DropReason
from palomar_proto.palomar.v1 import drop_reason_pb2


@pytest.mark.parametrize(
    ("subtype", "text"), [(133, "Policy denied"), (0, "Success"), (159, "159, 0"), (300, "44, 0")]
)
def test_cilium_reasons_have_hubbles_words(subtype: int, text: str) -> None:
    assert drop_text(subtype, subtype) == text


def test_every_reason_of_the_api_has_words() -> None:
    for number in DropReason.values():
        if number:
            assert not drop_text(number, number)[0].isdigit()


def test_kernel_reasons_have_the_kernels_names() -> None:
    assert drop_text(255, 1000 + drop_reason_pb2.NETFILTER_DROP) == "NETFILTER_DROP"
    assert drop_text(255, 1999) == "kernel reason 999"
    assert drop_text(255, 0) == "255, 0"


@pytest.mark.parametrize(
    ("reason", "name"),
    [(0, ""), (133, "POLICY_DENIED"), (1014, "NETFILTER_DROP"), (2_999, "2999"), (999, "999")],
)
def test_names_are_those_a_filter_takes(reason: int, name: str) -> None:
    assert drop_reason_name(reason) == name
