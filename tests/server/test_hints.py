from __future__ import annotations

import asyncio

import pytest

from palomar_proto.palomar.v1 import hints_pb2
from palomar_server.hints import SIMILAR_MAX, Search

PODS = ["shop/web-1", "shop/web-2", "shop/cart-1", "kube-system/coredns-7d"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", PODS),
        ("shop", PODS[:3]),
        ("WEB-", PODS[:2]),
        ("hop", []),
        ("system", []),
        ("kube-system/c", PODS[3:]),
    ],
)
def test_prefix_is_that_of_a_word_in_any_case(text: str, values: list[str]) -> None:
    search = Search(text)
    assert [pod for pod in PODS if search.finds(pod)] == values


def test_words_of_labels_begin_behind_colon_and_equals_sign() -> None:
    for text in ("k8s:app=web", "app=", "web"):
        assert Search(text).finds("k8s:app=web")


def test_substring_is_found_anywhere() -> None:
    search = Search("SYSTEM", hints_pb2.SEARCH_KIND_SUBSTRING)
    assert [pod for pod in PODS if search.finds(pod)] == PODS[3:]


def test_alike_is_what_differs_in_few_letters_with_or_without_its_first_part() -> None:
    for text in ("web-x", "shop/web-x", "wbe-1"):
        assert asyncio.run(Search(text).similar(PODS))[0] == "shop/web-1"
    assert asyncio.run(Search("zzzz").similar(PODS)) == []


def test_the_begin_of_a_name_may_be_alike() -> None:
    pods = ["prod/frontend-00005d4f-27aac", "prod/ads-00005d4f-35335"]
    for text in ("frontent", "prod/fronted"):
        assert asyncio.run(Search(text).similar(pods)) == pods[:1]


def test_not_many_are_alike() -> None:
    many = [f"shop/web-{number}" for number in range(100)]
    assert len(asyncio.run(Search("web-x").similar(many))) == SIMILAR_MAX
