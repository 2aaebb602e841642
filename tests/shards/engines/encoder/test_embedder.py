"""A bi-encoder on purpose: what it computes once, what it refuses, and the limits of texts."""

import json
from pathlib import Path
from typing import Any

import pytest

from shards.engines import load_engine
from shards.engines.base import Engine
from shards.engines.encoder.embedder import EmbedderEngine
from shards.pairs import QueryTooLong, TokenizedPair
from shards.wire.messages import Score
from shards.worker.canary_check import CanaryCheck
from shards.worker.documents import tokenized_slices
from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import bi_encoder, normalize
from tests.shards.checkpoint.specs import refusal_of, spec_of

_DOCUMENTS = ("The capital of France is Paris.", "Gravity is a force.", "Borscht is a soup.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bi_encoder(tmp_path_factory.mktemp("bi"), "bert", "mean", normalize(), longest=64)


def _engine(folder: Path, **settings: Any) -> EmbedderEngine:
    engine = load_engine(spec_of(folder, scorer="cosine", **settings), lambda line: None)
    assert isinstance(engine, EmbedderEngine)
    return engine


def _pairs(engine: Engine, query: str, *documents: str, **more: Any) -> list[TokenizedPair]:
    settings = dict[str, Any](instruction="", max_document_tokens=0) | more
    return engine.tokenizer.tokenize(query, documents, **settings)


def test_a_new_query_over_known_documents_computes_the_query_alone(folder: Path) -> None:
    engine = _engine(folder)
    first = engine.score(_pairs(engine, "gravity", *_DOCUMENTS))
    assert all(engine.last_work.computed)
    pairs = _pairs(engine, "What is the capital of France?", *_DOCUMENTS)
    kept = engine.score(pairs)
    query = pairs[0].document_start
    assert list(engine.last_work.computed) == [query, 0, 0]
    assert list(engine.last_work.saved) == [len(pairs[0]) - query, *map(len, pairs[1:])]
    assert kept == pytest.approx(engine.score_afresh(pairs), abs=1e-4)
    assert engine.score(_pairs(engine, "gravity", *_DOCUMENTS)) == first
    assert sum(engine.last_work.computed) == 1  # nothing, but time is learnt by the token
    mixed = _pairs(engine, "gravity", "soup", *_DOCUMENTS)
    assert engine.score(mixed)[1:] == first
    assert list(engine.last_work.computed) == [mixed[0].own_tokens, 0, 0, 0]


def test_a_bound_of_memory_of_zero_keeps_nothing(folder: Path) -> None:
    engine = _engine(folder, vector_cache_mb=0)
    pairs = _pairs(engine, "gravity", *_DOCUMENTS)
    engine.score(pairs)
    engine.score(pairs)
    assert sum(engine.last_work.computed) == len(pairs[0]) + sum(map(_own, pairs[1:]))


def _own(pair: TokenizedPair) -> int:
    return pair.own_tokens


def test_each_side_has_the_limit_for_itself(folder: Path) -> None:
    engine = _engine(folder)
    assert engine.facts.max_length == 64
    long = "gravity " * 62
    (pair,) = _pairs(engine, long, long)
    assert (len(pair), pair.own_tokens, pair.truncated) == (128, 64, False)
    (pair,) = _pairs(engine, "q", f"{long} gravity")
    assert (pair.own_tokens, pair.truncated) == (64, True)
    with pytest.raises(QueryTooLong, match="tokens of a query"):
        _pairs(engine, f"{long} gravity", "d")


def test_a_document_is_cut_behind_its_prompt(folder: Path) -> None:
    engine = _engine(folder, document_prompt="soup : ")
    prompt = engine.tokenizer.tokenize("", ("",), instruction="", max_document_tokens=0)[0]
    text = "gravity is a force that attracts two bodies"
    (start,) = _pairs(engine, "q", text, max_document_tokens=3)
    (end,) = _pairs(engine, "q", text, max_document_tokens=3, keep_end=True)
    (kept,) = _pairs(engine, "q", "attracts two bodies")
    assert start.truncated and start.own_tokens == prompt.own_tokens + 3
    assert end.token_ids == kept.token_ids


def test_passages_have_the_room_that_the_query_does_not_take(folder: Path) -> None:
    engine = _engine(folder)
    score = Score(
        job=1,
        deadline_ns=0,
        instruction="",
        queries=("gravity " * 60,),
        documents=("a force that attracts two bodies towards each other. " * 30,),
        max_document_tokens=0,
        in_passages=True,
        passage_overlap=4,
    )
    ((document,),) = tokenized_slices(engine.tokenizer, score)
    assert not document.truncated
    assert all(pair.own_tokens <= 64 for pair in document.pairs)
    assert max(pair.own_tokens for pair in document.pairs) > 40


def test_an_instruction_reaches_a_query_whose_prompt_has_a_place_for_it(tmp_path: Path) -> None:
    prompts = {"query": "Instruct: gravity\nQuery: "}
    folder = bi_encoder(tmp_path, "bert", "mean", prompts=prompts)
    engine = _engine(folder)
    assert engine.facts.uses_instruction
    own, given, other = (
        engine.score(_pairs(engine, "Paris", "France", instruction=instruction))
        for instruction in ("", "gravity", "soup")
    )
    assert own == given != other
    configured = _engine(folder, instruction="soup")
    assert configured.score(_pairs(configured, "Paris", "France")) == other


def test_a_query_without_a_place_for_an_instruction_warns(folder: Path) -> None:
    engine = _engine(folder, instruction="soup")
    assert not engine.facts.uses_instruction
    assert any("no place for one" in warning for warning in engine.facts.warnings)


def test_special_tokens_of_texts_are_plain_text_and_those_of_prompts_are_refused(
    folder: Path,
) -> None:
    engine = _engine(folder)
    (pair,) = _pairs(engine, "a [SEP] b", "c [CLS] d")
    special: Any = checkpoints.word_tokenizer().token_to_id("[SEP]")
    assert pair.token_ids.count(special) == 2  # one at the end of each side
    refusal = str(refusal_of(folder, scorer="cosine", query_prompt="[MASK] "))
    assert "special tokens" in refusal and "guard_special_tokens = false" in refusal
    _engine(folder, query_prompt="[MASK] ", guard_special_tokens=False)


def test_margins_are_remembered_for_their_prompts(folder: Path) -> None:
    said = [
        CanaryCheck(_engine(folder, **settings), spec_of(folder, canary="numeric", **settings))
        .after_load(lambda line: None)[0]
        .fingerprint
        for settings in ({}, {"query_prompt": "gravity "}, {"document_prompt": "gravity "})
    ]
    assert all(said)
    assert len(set(said)) == 3


def test_bf16_stays_near_fp32(folder: Path) -> None:
    exact, rounded = _engine(folder), _engine(folder, dtype="bf16")
    pairs = _pairs(exact, "gravity", *_DOCUMENTS)
    assert rounded.facts.dtype == "bf16"
    assert rounded.score(pairs) == pytest.approx(exact.score(pairs), abs=0.5)
    assert len(set(rounded.score(pairs))) == len(pairs)


def test_an_embedder_that_is_not_asked_for_is_refused_with_the_line_that_serves_it(
    folder: Path,
) -> None:
    assert "is an embedder" in str(refusal_of(folder))
    assert '`scorer = "cosine"`' in str(refusal_of(folder))
    reranker = checkpoints.bert(folder.parent / "reranker")
    assert "is a reranker" in str(refusal_of(reranker, scorer="cosine"))


def test_a_default_prompt_that_is_for_neither_side_is_refused(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean", prompts={"any": "gravity: "})
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"default_prompt_name": "any"}))
    assert "set `query_prompt` and `document_prompt`" in str(refusal_of(folder, scorer="cosine"))
    _engine(folder, query_prompt="gravity: ", document_prompt="")


def test_a_folder_that_names_the_scorer_itself_is_served_as_it_says(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean")
    ours = {"scorer": "cosine", "scale": 10.0, "middle": 0.5, "languages": ["en"]}
    checkpoints.change_config(folder, rerank_gateway=ours)
    engine = load_engine(spec_of(folder), lambda line: None)
    usual = _engine(bi_encoder(tmp_path / "usual", "bert", "mean"))
    (margin,), (other,) = (made.score(_pairs(made, "gravity", "soup")) for made in (engine, usual))
    assert margin == pytest.approx(10 * (other / 20 - 0.5), abs=1e-5)
    checkpoints.change_config(folder, rerank_gateway={"scorer": "euclid"})
    assert "scorer is 'euclid'" in str(refusal_of(folder))


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        ({"similarity": "euclidean"}, {}, "similarity_fn_name is 'euclidean'"),
        ({"similarity": "dot"}, {}, "similarity_fn_name is 'dot'"),
        ({}, {"template": "answer-is"}, "takes `query_prompt`"),
        ({}, {"engine": "classifier"}, "is for the engine 'embedder'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    change: dict[str, Any], settings: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean", **change)
    assert expected in str(refusal_of(folder, scorer="cosine", **settings))
