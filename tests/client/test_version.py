from palomar.version import API_VERSION, __version__


def test_versions_are_texts() -> None:
    assert __version__[0].isdigit()
    assert API_VERSION == "1.19"
