from palomar.printers.look import Look


def test_default_look_is_that_of_hubble_without_flags() -> None:
    look = Look()
    assert (look.time_format, look.node_name, look.translate) == ("StampMilli", False, True)
    assert not look.policy_names
    assert not look.strict
