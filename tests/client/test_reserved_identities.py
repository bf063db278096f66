from palomar.reserved_identities import RESERVED_IDENTITIES


def test_numbers_are_those_of_cilium_in_their_order() -> None:
    assert list(RESERVED_IDENTITIES.values()) == list(range(1, 11))
    assert RESERVED_IDENTITIES["world"] == 2
    assert RESERVED_IDENTITIES["kube-apiserver"] == 7
