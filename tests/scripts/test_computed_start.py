"""The computed starts match terms before any training, with vectors of no meaning at all."""

from collections.abc import Callable

import pytest
import torch

from scripts.embedded import stages
from scripts.embedded.scoring import Reranker
from scripts.embedded.tokenizer import bert_tokenizer, learn_pieces

TEXTS = [
    "To reset your password, open Settings and choose Forgot password.",
    "The cafeteria opens at eight in the morning.",
    "Our company was founded in 1998 in Lisbon.",
    "How do I reset a password? When does the cafeteria open? Where was the company founded?",
    "Париж — столица Франции. Какая столица Франции?",
    "Берлин — крупнейший город Германии.",
    "Борщ варят из свёклы и капусты. Как сварить борщ?",
]
FUNCTION_WORDS = [
    "the",
    "a",
    "to",
    "in",
    "at",
    "do",
    "I",
    "does",
    "when",
    "как",
    "какая",
    "и",
    "из",
]
DOCUMENTS = [*TEXTS[:3], "Париж — столица Франции.", TEXTS[5], "Борщ варят из свёклы и капусты."]

Build = Callable[[str], Reranker]


@pytest.fixture(scope="module")
def build() -> Build:
    pieces = learn_pieces(TEXTS * 5, 900)
    tokenizer = bert_tokenizer(pieces)
    weights = torch.full((tokenizer.get_vocab_size(),), 0.6)
    for word in FUNCTION_WORDS:
        weights[tokenizer.encode(word, add_special_tokens=False).ids] = 0.05
    weights = weights[-len(pieces) :]
    no_meaning = torch.zeros(len(pieces), 8)
    return lambda kind: stages.start(kind, pieces, no_meaning, weights)


@pytest.mark.parametrize("kind", stages.KINDS)
@pytest.mark.parametrize(
    ("query", "right"),
    [
        ("How do I reset a password?", 0),
        ("When does the cafeteria open?", 1),
        ("Where was the company founded?", 2),
        ("Какая столица Франции?", 3),
        ("немецкий город Берлин", 4),
        ("Как сварить борщ?", 5),
        ("борща из капусты", 5),
    ],
)
def test_the_document_with_the_query_s_words_comes_first(
    build: Build, kind: str, query: str, right: int
) -> None:
    margins = build(kind).rank(query, DOCUMENTS)
    others = [margin for place, margin in enumerate(margins) if place != right]
    assert margins[right] > max(others) + 0.3


@pytest.mark.parametrize("kind", stages.KINDS)
def test_a_match_counts_wherever_it_stands(build: Build, kind: str) -> None:
    filler = "Our company was founded in 1998 in Lisbon. " * 20
    match = "Forgot password?"
    query = "password forgot"
    in_front, behind, never = build(kind).rank(query, [match + filler, filler + match, filler])
    assert min(in_front, behind) > never + 0.2
    assert in_front == pytest.approx(behind, abs=0.5)


def test_the_bert_counts_like_bm25(build: Build) -> None:
    """More of a word is more, ever less so; the same in a long document is less."""
    filler = "Our company was founded in Lisbon. " * 10
    match = "Forgot password? "
    never, once, twice, often = (
        build("bert").rank("password", [match * times + filler])[0] for times in (0, 1, 2, 8)
    )
    assert once - never > twice - once > (often - twice) / 6 > 0
    long = build("bert").rank("password", [match + filler * 6])[0]
    assert never + 0.2 < long < once - 0.2


@pytest.mark.parametrize("kind", stages.KINDS)
def test_a_rare_word_weighs_more_than_a_function_word(build: Build, kind: str) -> None:
    rare, common = build(kind).rank("the cafeteria", ["A cafeteria in Lisbon.", "The company."])
    assert rare > common


@pytest.mark.parametrize("kind", stages.KINDS)
def test_the_same_start_is_computed_twice(build: Build, kind: str) -> None:
    once, again = build(kind), build(kind)
    assert once.rank("reset password", DOCUMENTS) == again.rank("reset password", DOCUMENTS)


def test_padding_and_batching_change_nothing(build: Build) -> None:
    for kind in stages.KINDS:
        reranker = build(kind)
        together = reranker.rank("reset password", DOCUMENTS)
        alone = [reranker.rank("reset password", [document])[0] for document in DOCUMENTS]
        assert together == pytest.approx(alone, abs=1e-4)
