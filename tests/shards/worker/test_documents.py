"""Documents of any length as pairs: a passage equals a document of its own with that text."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from shards.engines.base import Tokenizer
from shards.engines.fake import FakeTokenizer
from shards.pairs import QueryTooLong
from shards.prompts import TEMPLATES
from shards.tokenize import CausalTokenizer, PairTokenizer, load_tokenizer
from shards.wire.messages import Score
from shards.worker.documents import TokenizedDocument, tokenized_slices
from tests import checkpoints

_MAX_LENGTH = 128
_SCORE = Score(1, 0, 0, "", ("planets",), ("short",), in_passages=True, passage_overlap=12)
_PROSE = " ".join(checkpoints.SAMPLES[:1] + checkpoints.SAMPLES[3:]) + " "


@pytest.fixture(scope="module", params=["chat", "chat apart", "words", "pieces", "fake"])
def tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    make: dict[str, Callable[[Path], Tokenizer]] = {
        "chat": lambda folder: _causal(folder, "qwen3-reranker"),
        "chat apart": lambda folder: _causal(folder, "mxbai-rerank-v2"),
        "words": _words,
        "pieces": _pieces,
        "fake": lambda _: FakeTokenizer(_MAX_LENGTH),
    }
    return make[request.param](folder)


def _causal(folder: Path, template: str) -> CausalTokenizer:
    checkpoints.write_tokenizer(
        folder, checkpoints.chat_tokenizer(), tokenizer_class="Qwen2Tokenizer", unk_token=None
    )
    loaded = load_tokenizer(folder)
    fixed = [str(run[0]) for run in TEMPLATES[template].runs if len(run) == 1]
    prompt = len(loaded.ids(fixed[0] + " ".join(fixed[1:])))
    return CausalTokenizer(loaded, TEMPLATES[template], max_length=_MAX_LENGTH + prompt)


def _words(folder: Path) -> PairTokenizer:
    checkpoints.write_tokenizer(
        folder, checkpoints.word_tokenizer(), tokenizer_class="BertTokenizer", do_lower_case=False
    )
    return PairTokenizer(load_tokenizer(folder), max_length=_MAX_LENGTH)


def _pieces(folder: Path) -> PairTokenizer:
    checkpoints.write_tokenizer(
        folder, checkpoints.piece_tokenizer(), tokenizer_class="XLMRobertaTokenizer"
    )
    return PairTokenizer(load_tokenizer(folder), max_length=_MAX_LENGTH)


def _tokenized_all(tokenizer: Tokenizer, score: Score) -> list[TokenizedDocument]:
    return [document for some in tokenized_slices(tokenizer, score) for document in some]


def _tokenized(tokenizer: Tokenizer, text: str, score: Score = _SCORE) -> TokenizedDocument:
    (document,) = _tokenized_all(tokenizer, replace(score, documents=(text,)))
    return document


TEXTS = {
    "prose": _PROSE * 30,
    "Chinese": checkpoints.SAMPLES[2] * 60,
    "mixed": "\n".join(checkpoints.SAMPLES) * 20,
    "one word": "x" * 5000,
    "emoji": "🙂" * 2000,
    "code": "if (a[i] != b[j]) { return -1; }\n" * 100,
    "accents": "e\u0301" * 1500,
    "special tokens": "<|im_end|>[SEP]</s> " * 200,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_passage_is_tokenized_as_if_it_had_been_sent_alone(
    tokenizer: Tokenizer, text: str
) -> None:
    document = _tokenized(tokenizer, text)
    assert not document.truncated
    for (start, end), pair in zip(document.spans, document.pairs, strict=True):
        (alone,) = tokenizer.tokenize(
            "planets", (text[start:end],), instruction="", max_document_tokens=0
        )
        assert pair == alone
        assert not alone.truncated
        assert len(alone) <= tokenizer.max_length


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_passages_hold_the_whole_document(tokenizer: Tokenizer, text: str) -> None:
    spans = _tokenized(tokenizer, text).spans
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text.rstrip())
    assert all(not text[end:start].strip() for (_, end), (start, _) in pairwise(spans))


def test_passages_overlap(tokenizer: Tokenizer) -> None:
    spans = _tokenized(tokenizer, TEXTS["prose"]).spans
    assert len(spans) > 2
    assert all(start < end for (_, end), (start, _) in pairwise(spans))
    apart = _tokenized(tokenizer, TEXTS["prose"], replace(_SCORE, passage_overlap=0)).spans
    assert all(end <= start for (_, end), (start, _) in pairwise(apart))


def test_a_document_that_fits_is_one_pair(tokenizer: Tokenizer) -> None:
    for text in ("", "short", checkpoints.SAMPLES[0]):
        (whole,) = tokenizer.tokenize("planets", (text,), instruction="", max_document_tokens=0)
        assert _tokenized(tokenizer, text) == TokenizedDocument((whole,), ((0, len(text)),), False)


def test_a_document_of_many_characters_and_few_tokens_is_read_at_once() -> None:
    tokenizer = FakeTokenizer(_MAX_LENGTH)
    text = "word" + " " * 10_000 + "x" * 10_000
    (whole,) = tokenizer.tokenize("planets", (text,), instruction="", max_document_tokens=0)
    assert _tokenized(tokenizer, text) == TokenizedDocument((whole,), ((0, len(text)),), False)


def test_a_window_smaller_than_the_model_is_kept(tokenizer: Tokenizer) -> None:
    (empty,) = tokenizer.tokenize("planets", ("",), instruction="", max_document_tokens=0)
    document = _tokenized(tokenizer, TEXTS["prose"], replace(_SCORE, passage_tokens=20))
    assert (
        max(map(len, document.pairs)) <= len(empty) + 20 + 2
    )  # a text alone may take a little more
    assert len(document.pairs) > len(_tokenized(tokenizer, TEXTS["prose"]).pairs)


def test_no_more_passages_than_asked_for_are_read(tokenizer: Tokenizer) -> None:
    text = TEXTS["prose"]
    every = _tokenized(tokenizer, text)
    assert _tokenized(tokenizer, text, replace(_SCORE, most_passages=len(every.pairs))) == every
    first = _tokenized(tokenizer, text, replace(_SCORE, most_passages=2))
    assert (first.spans, first.truncated) == (every.spans[:2], True)
    last = _tokenized(tokenizer, text, replace(_SCORE, most_passages=2, keep_end=True))
    assert (last.spans, last.truncated) == (every.spans[-2:], True)


def test_no_more_tokens_than_asked_for_are_read(tokenizer: Tokenizer) -> None:
    text = TEXTS["prose"]
    end = tokenizer.starts(text)[300]
    cut = _tokenized(tokenizer, text, replace(_SCORE, max_document_tokens=300))
    assert (cut.spans[0][0], cut.spans[-1][1], cut.truncated) == (0, len(text[:end].rstrip()), True)
    start = tokenizer.starts(text)[-300]
    kept = _tokenized(tokenizer, text, replace(_SCORE, max_document_tokens=300, keep_end=True))
    assert start <= kept.spans[0][0] <= start + 1
    assert kept.spans[-1][1] == len(text.rstrip())
    assert kept.truncated
    few = _tokenized(tokenizer, text, replace(_SCORE, max_document_tokens=10))
    assert (len(few.pairs), few.truncated) == (1, True)


def test_a_query_that_leaves_too_little_for_a_passage_is_an_error(tokenizer: Tokenizer) -> None:
    asked: list[str] = []
    while True:
        asked.append("word")
        (empty,) = tokenizer.tokenize(" ".join(asked), ("",), instruction="", max_document_tokens=0)
        if len(empty) >= tokenizer.max_length - 6:
            break
    score = replace(_SCORE, queries=(" ".join(asked),))
    with pytest.raises(QueryTooLong, match=r"limit is \d+ tokens .* a passage needs \d+: shorten"):
        _tokenized(tokenizer, TEXTS["prose"], score)
    assert not _tokenized(tokenizer, "a", score).truncated


def test_every_document_has_its_own_query_if_there_are_several(tokenizer: Tokenizer) -> None:
    texts = (TEXTS["prose"], "short", TEXTS["mixed"])
    score = replace(_SCORE, queries=("planets", "moons", "stars"), documents=texts)
    documents = _tokenized_all(tokenizer, score)
    for query, text, document in zip(score.queries, texts, documents, strict=True):
        assert document == _tokenized(tokenizer, text, replace(_SCORE, queries=(query,)))
    assert len(documents[1].pairs) == 1


def test_every_document_has_its_own_instruction_if_there_are_several(tokenizer: Tokenizer) -> None:
    texts = (TEXTS["prose"], "short", TEXTS["mixed"])
    own = ("find moons", "", "find stars")
    score = replace(_SCORE, documents=texts, instructions=own)
    documents = _tokenized_all(tokenizer, score)
    for instruction, text, document in zip(own, texts, documents, strict=True):
        assert document == _tokenized(tokenizer, text, replace(_SCORE, instruction=instruction))


@pytest.mark.parametrize("kind", [_words, partial(_causal, template="qwen3-reranker")])
def test_a_megabyte_is_read_whole(
    kind: Callable[[Path], PairTokenizer | CausalTokenizer], tmp_path: Path
) -> None:
    tokenizer = kind(tmp_path)
    tokenizer.max_length = 2048
    (empty,) = tokenizer.tokenize("planets", ("",), instruction="", max_document_tokens=0)
    text = _PROSE * (1_000_000 // len(_PROSE))
    document = _tokenized(tokenizer, text)
    assert not document.truncated
    assert (document.spans[0][0], document.spans[-1][1]) == (0, len(text.rstrip()))
    assert all(start <= end + 1 for (_, end), (start, _) in pairwise(document.spans))
    apart = len(document.pairs) * len(empty)
    assert document.tokens - apart < 2 * len(text) / 3
    assert len(document.pairs) < 300


@pytest.mark.parametrize("keep_end", [False, True])
def test_a_pair_keeps_to_the_limit_of_its_job(tokenizer: Tokenizer, keep_end: bool) -> None:
    (empty,) = tokenizer.tokenize("planets", ("",), instruction="", max_document_tokens=0)
    limit = len(empty) + 20
    score = replace(_SCORE, in_passages=False, keep_end=keep_end, max_pair_tokens=limit)
    for text in TEXTS.values():
        document = _tokenized(tokenizer, text, score)
        (pair,) = document.pairs
        assert len(pair) <= limit
        assert (
            pair
            == _tokenized(
                tokenizer, text, replace(score, max_pair_tokens=0, max_document_tokens=20)
            ).pairs[0]
        )
    assert not _tokenized(tokenizer, "short", score).truncated
    with pytest.raises(QueryTooLong, match=f"the request's limit is {len(empty)} tokens"):
        _tokenized(tokenizer, "a", replace(score, max_pair_tokens=len(empty)))


def test_passages_keep_to_the_limit_of_their_job(tokenizer: Tokenizer) -> None:
    (empty,) = tokenizer.tokenize("planets", ("",), instruction="", max_document_tokens=0)
    limit = len(empty) + 4 + max(8, tokenizer.max_length // 16)  # the smallest that is allowed
    score = replace(_SCORE, max_pair_tokens=limit)
    document = _tokenized(tokenizer, TEXTS["prose"], score)
    assert not document.truncated
    assert len(document.pairs) > len(_tokenized(tokenizer, TEXTS["prose"]).pairs)
    assert max(map(len, document.pairs)) <= limit


def test_a_query_is_read_up_to_its_limit(tokenizer: Tokenizer) -> None:
    query = "planets moons stars"
    start = tokenizer.starts(query)[2]
    score = replace(_SCORE, queries=(query, "planets"), documents=("a", "b"), max_query_tokens=2)
    found = [document.pairs[0] for document in _tokenized_all(tokenizer, score)]
    queries = (query[:start], "planets"[: (*tokenizer.starts("planets"), 7, 7)[2]])
    for pair, text, document in zip(found, queries, "ab", strict=True):
        (expected,) = tokenizer.tokenize(text, (document,), instruction="", max_document_tokens=0)
        assert pair == expected
