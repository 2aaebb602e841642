"""Documents of any length as pairs: each passage is what the client could have sent by itself."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from shards.documents import EncodedDocument, encode_documents
from shards.encoder import TEMPLATES, CausalEncoder, PairEncoder, load_tokenizer
from shards.engines.base import Encoder
from shards.engines.fake import FakeEncoder
from shards.pairs import QueryTooLong
from shards.wire.messages import Score
from tests import checkpoints

_MAX_LENGTH = 128
_SCORE = Score(1, 0, 0, "", ("planets",), ("short",), in_passages=True, passage_overlap=12)
_PROSE = " ".join(checkpoints.SAMPLES[:1] + checkpoints.SAMPLES[3:]) + " "


@pytest.fixture(scope="module", params=["chat", "chat apart", "words", "pieces", "fake"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("tokenizer")
    make: dict[str, Callable[[Path], Encoder]] = {
        "chat": lambda folder: _causal(folder, "qwen3-reranker"),
        "chat apart": lambda folder: _causal(folder, "mxbai-rerank-v2"),
        "words": _words,
        "pieces": _pieces,
        "fake": lambda _: FakeEncoder(_MAX_LENGTH),
    }
    return make[request.param](folder)


def _causal(folder: Path, template: str) -> CausalEncoder:
    checkpoints.write_tokenizer(
        folder, checkpoints.chat_tokenizer(), tokenizer_class="Qwen2Tokenizer", unk_token=None
    )
    loaded = load_tokenizer(folder)
    prompt = len(loaded.ids(TEMPLATES[template].prefix + " ".join(TEMPLATES[template].suffix)))
    return CausalEncoder(loaded, TEMPLATES[template], max_length=_MAX_LENGTH + prompt)


def _words(folder: Path) -> PairEncoder:
    checkpoints.write_tokenizer(
        folder, checkpoints.word_tokenizer(), tokenizer_class="BertTokenizer", do_lower_case=False
    )
    return PairEncoder(load_tokenizer(folder), max_length=_MAX_LENGTH)


def _pieces(folder: Path) -> PairEncoder:
    checkpoints.write_tokenizer(
        folder, checkpoints.piece_tokenizer(), tokenizer_class="XLMRobertaTokenizer"
    )
    return PairEncoder(load_tokenizer(folder), max_length=_MAX_LENGTH)


def _encoded(encoder: Encoder, text: str, score: Score = _SCORE) -> EncodedDocument:
    (document,) = encode_documents(encoder, replace(score, documents=(text,)))
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
def test_a_passage_is_encoded_as_if_it_had_been_sent_alone(encoder: Encoder, text: str) -> None:
    document = _encoded(encoder, text)
    assert not document.truncated
    for (start, end), pair in zip(document.spans, document.pairs, strict=True):
        (alone,) = encoder.encode(
            "planets", (text[start:end],), instruction="", max_document_tokens=0
        )
        assert pair == alone
        assert not alone.truncated
        assert len(alone) <= encoder.max_length


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_passages_hold_the_whole_document(encoder: Encoder, text: str) -> None:
    spans = _encoded(encoder, text).spans
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text.rstrip())
    assert all(not text[end:start].strip() for (_, end), (start, _) in pairwise(spans))


def test_passages_overlap(encoder: Encoder) -> None:
    spans = _encoded(encoder, TEXTS["prose"]).spans
    assert len(spans) > 2
    assert all(start < end for (_, end), (start, _) in pairwise(spans))
    apart = _encoded(encoder, TEXTS["prose"], replace(_SCORE, passage_overlap=0)).spans
    assert all(end <= start for (_, end), (start, _) in pairwise(apart))


def test_a_document_that_fits_is_read_as_ever(encoder: Encoder) -> None:
    for text in ("", "short", checkpoints.SAMPLES[0]):
        (whole,) = encoder.encode("planets", (text,), instruction="", max_document_tokens=0)
        assert _encoded(encoder, text) == EncodedDocument((whole,), ((0, len(text)),), False)


def test_a_document_of_many_characters_and_few_tokens_is_read_at_once() -> None:
    encoder = FakeEncoder(_MAX_LENGTH)
    text = "word" + " " * 10_000 + "x" * 10_000
    (whole,) = encoder.encode("planets", (text,), instruction="", max_document_tokens=0)
    assert _encoded(encoder, text) == EncodedDocument((whole,), ((0, len(text)),), False)


def test_a_window_smaller_than_the_model_is_kept(encoder: Encoder) -> None:
    (empty,) = encoder.encode("planets", ("",), instruction="", max_document_tokens=0)
    document = _encoded(encoder, TEXTS["prose"], replace(_SCORE, passage_tokens=20))
    assert max(map(len, document.pairs)) <= len(empty) + 20 + 2  # what a text alone may take more
    assert len(document.pairs) > len(_encoded(encoder, TEXTS["prose"]).pairs)


def test_no_more_passages_than_asked_for_are_read(encoder: Encoder) -> None:
    text = TEXTS["prose"]
    every = _encoded(encoder, text)
    assert _encoded(encoder, text, replace(_SCORE, most_passages=len(every.pairs))) == every
    first = _encoded(encoder, text, replace(_SCORE, most_passages=2))
    assert (first.spans, first.truncated) == (every.spans[:2], True)
    last = _encoded(encoder, text, replace(_SCORE, most_passages=2, keep_end=True))
    assert (last.spans, last.truncated) == (every.spans[-2:], True)


def test_no_more_tokens_than_asked_for_are_read(encoder: Encoder) -> None:
    text = TEXTS["prose"]
    end = encoder.starts(text)[300]
    cut = _encoded(encoder, text, replace(_SCORE, max_document_tokens=300))
    assert (cut.spans[0][0], cut.spans[-1][1], cut.truncated) == (0, len(text[:end].rstrip()), True)
    start = encoder.starts(text)[-300]
    kept = _encoded(encoder, text, replace(_SCORE, max_document_tokens=300, keep_end=True))
    assert start <= kept.spans[0][0] <= start + 1
    assert kept.spans[-1][1] == len(text.rstrip())
    assert kept.truncated
    few = _encoded(encoder, text, replace(_SCORE, max_document_tokens=10))
    assert (len(few.pairs), few.truncated) == (1, True)


def test_a_query_that_leaves_too_little_for_a_passage_is_an_error(encoder: Encoder) -> None:
    asked: list[str] = []
    while True:
        asked.append("word")
        (empty,) = encoder.encode(" ".join(asked), ("",), instruction="", max_document_tokens=0)
        if len(empty) >= encoder.max_length - 6:
            break
    score = replace(_SCORE, queries=(" ".join(asked),))
    with pytest.raises(QueryTooLong, match=r"limit is \d+ tokens .* a passage needs \d+: shorten"):
        _encoded(encoder, TEXTS["prose"], score)
    assert not _encoded(encoder, "a", score).truncated


def test_every_document_has_its_own_query_if_there_are_several(encoder: Encoder) -> None:
    texts = (TEXTS["prose"], "short", TEXTS["mixed"])
    score = replace(_SCORE, queries=("planets", "moons", "stars"), documents=texts)
    documents = encode_documents(encoder, score)
    for query, text, document in zip(score.queries, texts, documents, strict=True):
        assert document == _encoded(encoder, text, replace(_SCORE, queries=(query,)))
    assert len(documents[1].pairs) == 1


@pytest.mark.parametrize("kind", [_words, partial(_causal, template="qwen3-reranker")])
def test_a_megabyte_is_read_whole(
    kind: Callable[[Path], PairEncoder | CausalEncoder], tmp_path: Path
) -> None:
    encoder = kind(tmp_path)
    encoder.max_length = 2048
    (empty,) = encoder.encode("planets", ("",), instruction="", max_document_tokens=0)
    text = _PROSE * (1_000_000 // len(_PROSE))
    document = _encoded(encoder, text)
    assert not document.truncated
    assert (document.spans[0][0], document.spans[-1][1]) == (0, len(text.rstrip()))
    assert all(start <= end + 1 for (_, end), (start, _) in pairwise(document.spans))
    apart = len(document.pairs) * len(empty)
    assert document.tokens - apart < 2 * len(text) / 3
    assert len(document.pairs) < 300
