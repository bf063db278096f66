from palomar.printers.flow_details import direction, interface, protocol, short_labels
from palomar.testing import make_response


def test_details_are_empty_where_the_flow_does_not_tell() -> None:
    flow = make_response(l4=None, interface=None, traffic_direction=0).flow
    assert (direction(flow), protocol(flow), interface(flow)) == ("", "", "")


def test_details() -> None:
    flow = make_response(
        traffic_direction="EGRESS", l4={"ICMPv4": {}}, interface={"index": 3, "name": "eth0"}
    ).flow
    assert (direction(flow), protocol(flow), interface(flow)) == ("egress", "ICMPv4", "eth0")
    flow.interface.name = ""
    assert interface(flow) == "3"


def test_labels_that_every_pod_has_are_left_out() -> None:
    labels = ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop", "reserved:host"]
    assert short_labels(labels) == "app=web,reserved:host"


def test_many_labels_are_counted() -> None:
    assert short_labels([f"k8s:label{number}=value" for number in range(9)]) == (
        "label0=value,label1=value,label2=value,+6"
    )
    assert short_labels(["k8s:" + "x" * 80]) == "x" * 80
