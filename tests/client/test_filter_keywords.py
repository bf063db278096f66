from palomar.filter_keywords import ExclusionKeywords, FilterKeywords


def test_every_keyword_has_its_exclusion_of_the_same_type() -> None:
    keywords, exclusions = FilterKeywords.__annotations__, ExclusionKeywords.__annotations__
    assert set(keywords) == set(exclusions) | {name.removeprefix("not_") for name in exclusions}
    for name, kind in exclusions.items():
        assert keywords[name.removeprefix("not_")] == kind


def test_all_are_optional() -> None:
    assert not FilterKeywords.__required_keys__
