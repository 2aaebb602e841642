"""Cuts of long documents: no text is lost, no passage is too long, and readers would agree."""

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.tokenize import Span, cut, halves

_TEXT = st.text(st.sampled_from('ab  \n\n..!?。！)"”') | st.characters(codec="utf-8"), max_size=400)


def _word_starts(text: str) -> list[int]:
    return [word.start() for word in re.finditer(r"\S+", text)]


def _character_starts(text: str) -> list[int]:
    return list(range(len(text)))


def _passages(text: str, spans: Sequence[Span]) -> list[str]:
    return [text[start:end] for start, end in spans]


@given(_TEXT, st.booleans(), st.integers(8, 40), st.integers(0, 40))
def test_every_character_is_in_a_passage_and_no_passage_is_too_long(
    text: str, is_by_words: bool, window: int, overlap: int
) -> None:
    starts = _word_starts(text) if is_by_words else _character_starts(text)
    spans = cut(text, starts, window=window, overlap=overlap)
    read = {at for start, end in spans for at in range(start, end)}
    assert {at for at, letter in enumerate(text) if not letter.isspace()} <= read
    for start, end in spans:
        assert sum(start <= token_start < end for token_start in starts) <= window
        assert text[start:end] == text[start:end].strip()
    assert [start for start, _ in spans] == sorted({start for start, _ in spans})
    assert len(spans) <= 1 + 4 * len(starts) / window


@given(_TEXT, st.integers(8, 40), st.integers(0, 40))
def test_passages_have_no_more_in_common_than_they_should(
    text: str, window: int, overlap: int
) -> None:
    starts = _character_starts(text)
    spans = cut(text, starts, window=window, overlap=overlap)
    for (_, end), (start, _) in pairwise(spans):
        assert end - start <= min(overlap, window // 2)


@given(_TEXT.filter(lambda text: len(text.strip()) > 1))
def test_halves_are_the_whole(text: str) -> None:
    first, *rest = halves(text, (0, len(text)))
    spans = [first, *rest]
    assert all(0 < end - start < len(text) or len(rest) == 0 for start, end in spans)
    assert "".join("".join(_passages(text, spans)).split()) == "".join(text.split())


_SENTENCE = "The quick brown fox jumps over the lazy dog by the river. "  # twelve words


def test_passages_end_and_start_with_sentences() -> None:
    text = _SENTENCE * 20
    passages = _passages(text, cut(text, _word_starts(text), window=60, overlap=30))
    assert len(passages) > 4
    for passage in passages:
        assert passage.startswith("The")
        assert passage.endswith("river.")
    assert [len(passage.split()) for passage in passages[:-1]] == [60] * (len(passages) - 1)


def test_a_paragraph_is_a_better_end_than_a_sentence() -> None:
    paragraph = (_SENTENCE * 4).strip() + "\n\n"
    text = paragraph * 6
    passages = _passages(text, cut(text, _word_starts(text), window=62, overlap=0))
    assert passages == [(_SENTENCE * 4).strip()] * 6


def test_lines_without_sentences_are_kept_whole() -> None:
    text = "\n".join(f"2026-11-21 host {number} started with code 0" for number in range(100))
    passages = _passages(text, cut(text, _word_starts(text), window=50, overlap=14))
    assert len(passages) > 15
    for passage in passages:
        assert passage.startswith("2026")
        assert passage.endswith("code 0")


@pytest.mark.parametrize("end", ["。", "！", "？"])
def test_sentences_without_spaces_are_kept_whole(end: str) -> None:
    text = f"中国的首都是北京{end}" * 40
    for passage in _passages(text, cut(text, _character_starts(text), window=32, overlap=10)):
        assert passage.startswith("中国")
        assert passage.endswith(end)


def test_text_without_any_break_is_cut_at_the_window() -> None:
    text = "x" * 100
    spans = cut(text, _character_starts(text), window=40, overlap=10)
    assert spans == [(0, 40), (30, 70), (60, 100)]


def test_a_document_that_fits_is_one_passage() -> None:
    assert cut("  all of it ", [2, 6, 9], window=8, overlap=2) == [(2, 11)]


@pytest.mark.parametrize("text", ["", "   \n\n  "])
def test_a_document_without_text_is_one_empty_passage(text: str) -> None:
    assert cut(text, [], window=8, overlap=2) == [(0, 0)]


@pytest.mark.parametrize("letter", [".", "\n", " ", '"', "。", ".'", "\n ", ". "])
def test_hostile_punctuation_costs_no_more_than_text(letter: str) -> None:
    """A pattern that examined each character again for each character before it would take days."""
    text = letter * (1_000_000 // len(letter))
    starts = list(range(0, len(text), 64))
    spans = cut(text, starts, window=4096, overlap=64)
    assert len(spans) <= 1 + 4 * len(starts) / 4096
