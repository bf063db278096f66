import pytest

from palomar.server_version import ServerVersion, ServerVersions, read_server_version


@pytest.mark.parametrize(
    ("metadata", "version"),
    [
        (None, None),
        ((), None),
        ((("user-agent", "x"),), None),
        ((("hubble-server-version", "1.19.4+gabc"),), ServerVersion(node="1.19.4+gabc")),
        ((("hubble-relay-version", "1.19.4"),), ServerVersion(relay="1.19.4")),
        ((("hubble-relay-version", b"1.19.4"),), ServerVersion(relay="1.19.4")),
        (
            (("hubble-server-version", "1"), ("hubble-relay-version", "2")),
            ServerVersion(node="1", relay="2"),
        ),
        ((("hubble-server-version", ""),), ServerVersion(node="")),
        (
            (("hubble-server-version", "1"), ("hubble-server-version", "2")),
            ServerVersion(node="1"),
        ),
    ],
)
def test_version_is_found_in_metadata(
    metadata: tuple[tuple[str, str | bytes], ...] | None, version: ServerVersion | None
) -> None:
    assert read_server_version(metadata) == version


def test_last_answer_that_said_something_counts() -> None:
    versions = ServerVersions()
    for text in ("1.19.3", "1.19.4"):
        versions.note((("hubble-server-version", text),))
    versions.note(())
    assert versions.last == ServerVersion(node="1.19.4")


def test_text_names_what_there_is() -> None:
    assert str(ServerVersion(node="1", relay="2")) == "1 2"
    assert str(ServerVersion(relay="2")) == "2"
