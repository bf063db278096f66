from palomar.peers import peer_line
from palomar_proto.peer.peer_pb2 import TLS, ChangeNotification, ChangeNotificationType


def test_change_names_address_peer_and_tls_name() -> None:
    change = ChangeNotification(
        name="default/n1",
        address="192.168.1.1:4244",
        type=ChangeNotificationType.PEER_ADDED,
        tls=TLS(server_name="n1.default"),
    )
    assert peer_line(change) == (
        "PEER_ADDED   192.168.1.1:4244 default/n1 (TLS.ServerName: n1.default)\n"
    )


def test_what_is_unknown_is_shown_as_it_is() -> None:
    assert peer_line(ChangeNotification()) == "UNKNOWN       \n"
    strange = ChangeNotification(type=9)  # type: ignore[arg-type]  # from a newer server
    assert peer_line(strange) == "9             \n"


def test_names_cannot_steer_the_terminal() -> None:
    change = ChangeNotification(name="\x1bc", address="\r", tls=TLS(server_name="\n"))
    assert peer_line(change) == "UNKNOWN      \\r ^[c (TLS.ServerName: \\n)\n"
