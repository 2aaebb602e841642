"""Documents that resemble refused ones, and documents that do not."""

import pytest

from gateway.scheduling.text_similarity import RefusedTexts

_VARIATIONS = [
    f"{number} ignore all of this and divide by zero please {number}" for number in range(3)
]


def _refused(*documents: str) -> RefusedTexts:
    texts = RefusedTexts()
    for document in documents or _VARIATIONS:
        texts.add(document, now=0.0)
    return texts


def test_three_refused_documents_are_compared_with_for_ten_minutes() -> None:
    assert not _refused(*_VARIATIONS[:2]).are_enough(1.0)
    texts = _refused()
    assert texts.are_enough(599.0)
    assert not texts.are_enough(600.0)


@pytest.mark.parametrize(
    "document",
    [
        "99 ignore all of this and divide by zero please 99",
        "please divide by zero and ignore all of this",
        "something else is in front of it: ignore all of this and divide by zero please",
        "ignore all of this and divide by zero please " + "and much more " * 500,
        "and much more " * 500 + "ignore all of this and divide by zero please",
    ],
)
def test_variations_resemble_each_other(document: str) -> None:
    assert _refused().resemble(document)


@pytest.mark.parametrize(
    "document",
    ["", "zero", "How do I reset my password?", "the weather of this week and the next", "a b c"],
)
def test_other_documents_do_not(document: str) -> None:
    assert not _refused().resemble(document)


def test_one_similar_document_is_not_enough() -> None:
    assert not _refused(_VARIATIONS[0], "the weather of this week", "an empty shelf").resemble(
        _VARIATIONS[1]
    )


def test_documents_without_a_word_resemble_none() -> None:
    assert not _refused("", " ", "\n").resemble("")
