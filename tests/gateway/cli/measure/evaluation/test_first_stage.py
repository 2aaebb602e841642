"""BM25, against its formula."""

import math

import pytest

from gateway.cli.measure.evaluation.first_stage import K1, B, Bm25, languages

DOCUMENTS = ["red apple", "green pear", "", "apple apple tree"]


def test_scores_are_the_formula() -> None:
    """Lucene's: without the factor k1 + 1, which changes no order."""
    lengths = [2, 2, 1, 3]  # a document without words counts as one
    mean_length = sum(lengths) / len(lengths)
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    expected = [
        idf * times / (times + K1 * (1 - B + B * length / mean_length))
        for times, length in zip([1, 0, 0, 2], lengths, strict=True)
    ]
    assert Bm25(DOCUMENTS).scores("Apple") == pytest.approx(expected, rel=1e-5)


def test_only_documents_with_a_word_of_the_query_are_found() -> None:
    index = Bm25(DOCUMENTS)
    assert index.best("apple", 10) == [3, 0]
    assert index.best("apple", 1) == [3]
    assert index.best("no such word", 10) == index.best("", 10) == []
    assert Bm25([""]).best("apple", 10) == []


def test_equal_documents_stay_in_their_order() -> None:
    assert Bm25(["pear", "apple", "apple"]).best("apple", 2) == [1, 2]


def test_words_are_stemmed_with_a_language() -> None:
    documents = ["ночные поезда", "белые ночи"]
    assert Bm25(documents).best("поезд", 2) == []
    assert Bm25(documents, "russian").best("поезд", 2) == [0]
    assert {"english", "russian"} <= {*languages()}
