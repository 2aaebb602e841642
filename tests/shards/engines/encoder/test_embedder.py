"""A bi-encoder on purpose: what it computes once, what it refuses, and the limits of texts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from shards.engines import load_engine
from shards.engines.base import Engine
from shards.engines.encoder.embedder import EmbedderEngine
from shards.pairs import QueryTooLong, TokenizedPair
from shards.wire.messages import Score
from shards.worker.canary_check import CanaryCheck
from shards.worker.documents import NoVectors, tokenized_slices
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


# -- vectors of texts alone ------------------------------------------------------------------------

_TEXTS = ("The capital of France is Paris.", "", "gravity", "word " * 90, "Borscht is a soup.")


def _texts(engine: Engine, *texts: str, **settings: Any) -> list[TokenizedPair]:
    """Return texts as the worker has them tokenized."""
    usual: dict[str, Any] = {"side": "text", "instruction": "", "max_document_tokens": 0}
    score = Score(job=1, deadline_ns=0, queries=("",), documents=texts, **(usual | settings))
    documents = [one for some in tokenized_slices(engine.tokenizer, score) for one in some]
    return [pair for document in documents for pair in document.pairs]


def _vectors(engine: Engine, *texts: str, **settings: Any) -> torch.Tensor:
    pairs = _texts(engine, *texts, **settings)
    engine.score(pairs)
    found = [pair.slot.data for pair in pairs if pair.slot is not None]
    return torch.stack([torch.frombuffer(bytearray(data), dtype=torch.float32) for data in found])


def _expected(folder: Path, texts: Sequence[str], longest: int = 64) -> torch.Tensor:
    """Return the mean of the states of each text, by transformers alone."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    found = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            found.append(model(**inputs).last_hidden_state.mean(1)[0])
    return torch.stack(found)


@pytest.mark.parametrize("make", ["bert", "xlm_roberta", "modernbert"])
def test_vectors_are_those_of_transformers(make: str, tmp_path: Path) -> None:
    prompts = {"query": "gravity : ", "document": "soup : "}
    folder = bi_encoder(tmp_path, make, "mean", prompts=prompts, longest=64)
    engine = _engine(folder)
    for side, prompt in (("text", ""), ("query", "gravity : "), ("document", "soup : ")):
        expected = _expected(folder, [f"{prompt}{text}" for text in _TEXTS])
        plain = _vectors(engine, *_TEXTS, side=side, unit_vectors=False)
        unit = _vectors(engine, *_TEXTS, side=side)
        torch.testing.assert_close(plain, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(unit, functional.normalize(expected), atol=1e-5, rtol=0)


def test_vectors_may_be_cut_and_have_length_one_after_it(folder: Path) -> None:
    engine = _engine(folder)
    assert engine.facts.vector_width == 64
    whole = _vectors(engine, *_TEXTS, unit_vectors=False)
    cut = _vectors(engine, *_TEXTS, dimensions=5)
    torch.testing.assert_close(cut, functional.normalize(whole[:, :5]), atol=1e-6, rtol=0)


def test_vectors_and_pairs_share_batches_and_what_is_kept(folder: Path) -> None:
    engine = _engine(folder)
    alone = engine.score(_pairs(engine, "gravity", *_DOCUMENTS))
    vectors = _vectors(_engine(folder), "soup", *_DOCUMENTS)
    pairs, texts = _pairs(engine, "gravity", *_DOCUMENTS), _texts(engine, "soup", *_DOCUMENTS)
    margins = engine.score([*pairs[:2], *texts, pairs[2]])
    assert [*margins[:2], margins[-1]] == alone
    assert [bool(computed) for computed in engine.last_work.computed] == [
        *(False, False),
        *(True, False, False, False),
        False,
    ]
    found = [pair.slot.data for pair in texts if pair.slot is not None]
    mixed = [torch.frombuffer(bytearray(data), dtype=torch.float32) for data in found]
    torch.testing.assert_close(torch.stack(mixed), vectors, atol=1e-5, rtol=0)
    assert all(pair.slot is None for pair in pairs)


def test_a_text_that_is_too_long_is_cut_behind_its_prompt(folder: Path) -> None:
    engine = _engine(folder, query_prompt="soup : ")
    (text,) = _texts(engine, "gravity " * 70, side="query")
    assert (len(text), text.truncated) == (64, True)
    (cut,) = _texts(engine, "gravity is a force", side="query", max_document_tokens=1)
    (end,) = _texts(
        engine, "gravity is a force", side="query", max_document_tokens=1, keep_end=True
    )
    assert cut.token_ids == _texts(engine, "gravity", side="query")[0].token_ids
    assert end.token_ids == _texts(engine, "force", side="query")[0].token_ids
    assert cut.truncated and end.truncated


def test_the_default_prompt_of_a_checkpoint_stands_before_texts_of_neither_side(
    tmp_path: Path,
) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean", prompts={"query": "gravity : "})
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"default_prompt_name": "query"}))
    engine = _engine(folder)
    (text,), (query,), (document,) = (
        _texts(engine, "soup", side=side) for side in ("text", "query", "document")
    )
    assert text.token_ids == query.token_ids != document.token_ids


def test_an_instruction_reaches_texts_with_the_prompt_of_a_query(tmp_path: Path) -> None:
    prompts = {"query": "Instruct: gravity\nQuery: "}
    engine = _engine(bi_encoder(tmp_path, "bert", "mean", prompts=prompts))
    (own,), (given,), (other,) = (
        _texts(engine, "Paris", side="query", instruction=instruction)
        for instruction in ("", "gravity", "soup")
    )
    assert own.token_ids == given.token_ids != other.token_ids


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ((), False)),
        ({"matryoshka_dimensions": [8, 16]}, ((8, 16), False)),
        ({"is_matryoshka": True}, ((), True)),
        ({"is_matryoshka": True, "matryoshka_dimensions": [8]}, ((8,), False)),
        ({"is_matryoshka": False}, ((), False)),
    ],
)
def test_a_checkpoint_names_the_sizes_to_which_its_vectors_may_be_cut(
    config: dict[str, Any], expected: tuple[tuple[int, ...], bool], tmp_path: Path
) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean")
    checkpoints.change_config(folder, **config)
    facts = _engine(folder).facts
    assert (facts.vector_sizes, facts.any_vector_size) == expected


def test_sizes_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean")
    checkpoints.change_config(folder, matryoshka_dimensions=[0])
    assert "matryoshka_dimensions" in str(refusal_of(folder, scorer="cosine"))


def test_a_model_that_compares_pairs_has_no_vectors(tmp_path: Path) -> None:
    engine = load_engine(spec_of(checkpoints.bert(tmp_path)), lambda line: None)
    assert engine.facts.vector_width == 0
    with pytest.raises(NoVectors):
        _texts(engine, "soup")
