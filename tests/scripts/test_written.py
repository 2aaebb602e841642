"""The texts written for training are no copies of the texts of the evaluation."""

import pytest

from scripts.embedded import written
from scripts.embedded.sources import written_pairs
from scripts.embedded.written import Item, content_words, evaluation_texts, near_copies


def item(query: str, right: str = "Quite another text.") -> Item:
    return Item(7, "en", [query], right, "Something else again.")


@pytest.mark.parametrize(
    "query",
    [
        "How do I brew strong coffee?",
        "brew strong coffee",
        "Strong coffees: how to brew?",
    ],
)
def test_an_item_with_the_same_words_in_its_query_is_a_near_copy(query: str) -> None:
    assert near_copies([item(query)], ["How do I brew strong coffee?"]) == {7}


def test_a_document_counts_as_much_as_a_query() -> None:
    [number] = near_copies([item("what now", "Brew the coffee strong.")], ["brew strong coffee"])
    assert number == 7


@pytest.mark.parametrize("query", ["strong tea", "Where is the coffee?", "", "how do I"])
def test_an_item_that_shares_one_word_is_no_near_copy(query: str) -> None:
    assert near_copies([item(query)], ["How do I brew strong coffee?"]) == set()


def test_no_written_text_is_one_of_the_everyday_lists() -> None:
    items, dropped = written.read_written()
    evaluated = {content_words(text) for text in evaluation_texts()} - {frozenset()}
    assert dropped < len(items) / 20
    assert not any(content_words(text) in evaluated for item_ in items for text in item_.texts)


def test_a_subject_belongs_to_one_part_in_both_languages() -> None:
    parts: dict[str, set[str]] = {"train": set(), "choice": set()}
    for pair in written_pairs():
        parts[pair.split].add(pair.document)
    assert not parts["train"] & parts["choice"]
    assert 0.07 < len(parts["choice"]) / len(parts["train"]) < 0.15
