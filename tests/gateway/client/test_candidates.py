"""Candidates from documents of every accepted kind."""

from dataclasses import dataclass, field

import pytest

from gateway.client import InvalidRequest
from gateway.client.candidates import read_candidates


@dataclass
class Page:
    page_content: str
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass
class Node:
    text: str


@dataclass
class Haystack:
    content: str | None
    meta: dict[str, object]


def test_texts_and_metadata_of_every_kind() -> None:
    given: list[object] = [
        "plain",
        {"text": "of a dict", "year": 2020},
        {"page_content": "of a page", "text": 7, "metadata": {"official": True}},
        Page("langchain", {"source": "a"}),
        Node("llama"),
        Haystack("haystack", {"b": 1}),
        (Page("scored", {"c": 1}), 3),
    ]
    found = read_candidates(given)
    assert [candidate.text for candidate in found] == [
        "plain",
        "of a dict",
        "of a page",
        "langchain",
        "llama",
        "haystack",
        "scored",
    ]
    assert [dict(candidate.metadata) for candidate in found] == [
        {},
        {"text": "of a dict", "year": 2020},
        {"official": True},
        {"source": "a"},
        {},
        {"b": 1},
        {"c": 1},
    ]
    assert found[3].document is given[3]
    assert isinstance(given[6], tuple)
    assert (found[6].document, found[6].first_stage_score) == (given[6][0], 3.0)
    assert found[0].first_stage_score is None


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (["a", 7], r"documents\[1\] is int without a text"),
        ([{"title": "t"}], r"documents\[0\] is dict without a text"),
        ([Haystack(None, {})], "Haystack without a text"),
        ([("a", "high")], r"documents\[0\] has the first-stage score 'high'"),
        ([("a", float("nan"))], "finite"),
        ("a string", "one string"),
    ],
)
def test_documents_without_text_are_rejected(documents: list[object], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        read_candidates(documents)
    assert caught.value.status is None
