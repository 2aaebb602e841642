"""Late interaction: the formula by transformers alone, what is kept, and what is refused."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from shards.canary import KNOWN
from shards.engines import load_engine
from shards.engines.base import Engine
from shards.engines.encoder.late import LateEngine, TokenVectors
from shards.pairs import QueryTooLong, TokenizedPair
from shards.wire.messages import Score
from shards.worker.canary_check import CanaryCheck
from shards.worker.documents import NoVectors, tokenized_slices
from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import bi_encoder, normalize
from tests.shards.checkpoint.late_layouts import LAYOUTS, PREFIXES, projection, pylate, stanford
from tests.shards.checkpoint.specs import refusal_of, spec_of

QUERIES = ("What is gravity?", "the capital of France", "soup")
DOCUMENTS = (
    *("The capital of France is Paris.", "Gravity is a force, it attracts two bodies."),
    *("Borscht is a soup.", "gravity " * 70, ".", ""),
)


def _engine(folder: Path, **settings: Any) -> LateEngine:
    engine = load_engine(spec_of(folder, scorer="maxsim", **settings), lambda line: None)
    assert isinstance(engine, LateEngine)
    return engine


def _pairs(engine: Engine, query: str, *documents: str, **more: Any) -> list[TokenizedPair]:
    settings = dict[str, Any](instruction="", max_document_tokens=0) | more
    return engine.tokenizer.tokenize(query, documents, **settings)


class Reference:
    """The formula, written from PyLate's documentation: one text at a time, by transformers."""

    def __init__(
        self,
        folder: Path,
        *,
        query_length: int = 16,
        document_length: int = 48,
        do_query_expansion: bool = True,
        attend_to_expansion_tokens: bool = False,
        query_prefix: str = PREFIXES["query_prefix"],
        document_prefix: str = PREFIXES["document_prefix"],
        skiplist_words: Sequence[str] = (".", ","),
    ) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.body = AutoModel.from_pretrained(folder).eval()
        self.lengths = (query_length, document_length)
        self.prefixes = [
            self.tokenizer.convert_tokens_to_ids(prefix) if prefix else None
            for prefix in (query_prefix, document_prefix)
        ]
        self.expands, self.attends = do_query_expansion, attend_to_expansion_tokens
        of = self.tokenizer
        self.fill_id = next(
            id for id in (of.mask_token_id, of.eos_token_id, of.pad_token_id) if id is not None
        )
        self.skipped = {self.tokenizer.convert_tokens_to_ids(word) for word in skiplist_words}

    def vectors(self, text: str, side: int) -> torch.Tensor:
        longest, prefix = self.lengths[side], self.prefixes[side]
        room = longest - (prefix is not None)
        ids = self.tokenizer(text, truncation=True, max_length=room)["input_ids"]
        if prefix is not None:
            ids = [ids[0], prefix, *ids[1:]]
        seen = [1] * len(ids)
        if side == 0 and self.expands:
            missing = longest - len(ids)
            ids, seen = ids + [self.fill_id] * missing, seen + [0] * missing
            seen = [1] * longest if self.attends else seen
        with torch.inference_mode():
            inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.tensor([seen])}
            states = self.body(**inputs).last_hidden_state[0]
        counted = [at for at, id in enumerate(ids) if side == 0 or id not in self.skipped]
        return functional.normalize(states[counted] @ projection().T, dim=-1)

    def margin(self, query: str, document: str) -> float:
        similarities = self.vectors(query, 0) @ self.vectors(document, 1).T
        return float(similarities.max(1).values.sum())

    def check(self, engine: LateEngine) -> None:
        for query in QUERIES:
            expected = [self.margin(query, document) for document in DOCUMENTS]
            # A margin adds up to 32 similarities, so it is as exact as fp32 is at its size.
            assert engine.score(_pairs(engine, query, *DOCUMENTS)) == pytest.approx(
                expected, abs=1e-5, rel=2e-6
            )


@pytest.mark.parametrize("make", ["bert", "xlm_roberta", "modernbert"])
def test_margins_are_those_of_the_formula(make: str, tmp_path: Path) -> None:
    words = [".", ","] if make == "bert" else []
    folder = pylate(tmp_path, make, skiplist_words=words, query_length=32)
    Reference(folder, skiplist_words=words, query_length=32).check(_engine(folder))


@pytest.mark.parametrize(
    "settings",
    [
        {"attend_to_expansion_tokens": True},
        {"do_query_expansion": False},
        {"query_length": 20, "document_length": 12},
        {"skiplist_words": ["is", "a", "no-such-word"]},
        {"query_prefix": "", "document_prefix": ""},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_settings_of_a_folder_are_followed(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = pylate(tmp_path, **settings)
    Reference(folder, **settings).check(_engine(folder))


def test_a_folder_of_stanfords_has_its_projection_among_the_tensors(tmp_path: Path) -> None:
    words = [*"""!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"""]
    folder = stanford(tmp_path / "hidden")
    Reference(folder, skiplist_words=words).check(_engine(folder))
    folder = stanford(tmp_path / "seen", attend_to_mask_tokens=True, query_maxlen=12)
    reference = Reference(
        folder, skiplist_words=words, attend_to_expansion_tokens=True, query_length=12
    )
    reference.check(_engine(folder))


def test_what_a_dense_module_has_beside_its_weight_is_computed(tmp_path: Path) -> None:
    plain = _engine(pylate(tmp_path / "plain"))
    tanh = "torch.nn.modules.activation.Tanh"
    folder = pylate(tmp_path / "tanh", dense={"activation_function": tanh})
    other = _engine(folder)
    pairs = _pairs(plain, QUERIES[0], *DOCUMENTS[:3])
    assert other.score(pairs) != pytest.approx(plain.score(pairs), abs=1e-4)


def test_a_new_query_over_known_documents_computes_the_query_alone(tmp_path: Path) -> None:
    engine = _engine(pylate(tmp_path))
    first = engine.score(_pairs(engine, QUERIES[0], *DOCUMENTS))
    assert engine.score(_pairs(engine, QUERIES[0], *DOCUMENTS)) == first
    assert sum(engine.last_work.computed) == 1  # nothing, but time is learnt by the token
    pairs = _pairs(engine, QUERIES[1], *DOCUMENTS)
    kept = engine.score(pairs)
    assert list(engine.last_work.computed) == [16, *[0] * (len(DOCUMENTS) - 1)]
    assert kept == pytest.approx(engine.score_afresh(pairs), abs=1e-5)
    none = _engine(tmp_path, vector_cache_mb=0)
    for _ in range(2):
        none.score(pairs)
        own = sum(pair.own_tokens for pair in pairs)
        assert sum(none.last_work.computed) == 16 + own


def test_what_was_used_longest_ago_is_dropped_within_the_bound() -> None:
    vectors = TokenVectors(1)
    block = torch.zeros(1024, 100)  # 400 kB
    for key in (b"a", b"b"):
        vectors.keep(key, block)
    assert vectors.get(b"a") is not None
    vectors.keep(b"c", block)
    assert [vectors.get(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]
    vectors.keep(b"d", torch.full((1, 1), torch.nan))
    assert len(vectors) == 2


def test_one_batch_may_have_several_queries(tmp_path: Path) -> None:
    engine = _engine(pylate(tmp_path))
    apart = [engine.score_afresh(_pairs(engine, query, *DOCUMENTS)) for query in QUERIES]
    pairs = [pair for query in QUERIES for pair in _pairs(engine, query, *DOCUMENTS)]
    together = engine.score_afresh(pairs)
    assert together == pytest.approx([margin for some in apart for margin in some], abs=1e-5)


def test_a_longer_query_is_refused_and_a_longer_document_is_cut(tmp_path: Path) -> None:
    engine = _engine(pylate(tmp_path))
    with pytest.raises(QueryTooLong, match="16 tokens of a query"):
        _pairs(engine, "gravity " * 14, "soup")
    text = "gravity is a force that attracts two bodies"
    (start,) = _pairs(engine, "q", text, max_document_tokens=3)
    (end,) = _pairs(engine, "q", text, max_document_tokens=3, keep_end=True)
    (whole,) = _pairs(engine, "q", "gravity " * 70)
    assert start.truncated and end.truncated and whole.truncated
    assert start.token_ids == _pairs(engine, "q", "gravity is a")[0].token_ids
    assert end.token_ids == _pairs(engine, "q", "attracts two bodies")[0].token_ids
    assert whole.own_tokens == engine.facts.max_length == 48


def test_long_documents_are_read_in_passages(tmp_path: Path) -> None:
    engine = _engine(pylate(tmp_path))
    text = "a force that attracts two bodies towards each other. " * 20
    score = Score(1, 0, 0, "", ("gravity",), (text,), in_passages=True, passage_overlap=4)
    ((document,),) = tokenized_slices(engine.tokenizer, score)
    assert not document.truncated
    assert 1 < len(document.pairs) < 20
    assert all(pair.own_tokens <= 48 for pair in document.pairs)
    with pytest.raises(NoVectors):
        list(tokenized_slices(engine.tokenizer, Score(1, 0, 0, "", ("",), (text,), side="text")))


def test_bf16_stays_near_fp32(tmp_path: Path) -> None:
    exact = _engine(pylate(tmp_path))
    rounded = _engine(tmp_path, dtype="bf16")
    pairs = _pairs(exact, QUERIES[0], *DOCUMENTS)
    assert rounded.facts.dtype == "bf16"
    assert rounded.score(pairs) == pytest.approx(exact.score(pairs), abs=0.5)


def test_known_queries_are_read_as_far_as_the_model_reads(tmp_path: Path) -> None:
    folder = pylate(tmp_path, query_length=8)
    engine, spec = _engine(folder), spec_of(folder, scorer="maxsim", canary="full")
    lengths = [len(engine.tokenizer._ids([known.query])[0]) for known in KNOWN["ru"]]
    assert max(lengths) > 8
    canary, _ = CanaryCheck(engine, spec).after_load(lambda line: None)
    assert all(map(math.isfinite, canary.margins))
    for query in ("gravity " * 30, "soup", "", "ж" * 40):
        (pair,) = _pairs(engine, engine.tokenizer.shortened(query), "d")
        assert pair.document_start == 8
    assert engine.tokenizer.shortened("gravity soup") == "gravity soup"
    assert engine.tokenizer.shortened("gravity " * 30).startswith("gra")


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_one_that_is_not_asked_for_is_refused_with_the_line_that_serves_it(
    write: Any, tmp_path: Path
) -> None:
    folder = write(tmp_path)
    for scorer in ("auto", "cosine"):
        assert '`scorer = "maxsim"`' in str(refusal_of(folder, scorer=scorer))


def test_another_model_is_no_late_interaction_model(tmp_path: Path) -> None:
    for folder in (
        checkpoints.bert(tmp_path / "reranker"),
        bi_encoder(tmp_path / "embedder", "bert", "mean", normalize()),
    ):
        assert "no late-interaction model" in str(refusal_of(folder, scorer="maxsim"))


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        ({"query_prefix": "[Q] "}, {}, "'[Q] ' is no token"),
        ({"similarity_fn_name": "dot"}, {}, "similarity_fn_name is 'dot'"),
        ({"prompts": {"any": "x"}, "default_prompt_name": "any"}, {}, "default prompt 'x'"),
        ({"skiplist_words": "."}, {}, "skiplist_words"),
        ({"pool_factor": 2}, {}, "pool_factor"),
        ({"dense": {"in_features": 63}}, {}, "takes 63 numbers"),
        ({"kind": "mine.Dense"}, {}, "code of its own"),
        ({"kind": "sentence_transformers.models.Pooling"}, {}, "Dense modules are expected"),
        ({}, {"dtype": "int8"}, "has no int8"),
        ({}, {"query_prompt": "q: "}, "prefixes of its own"),
        ({}, {"engine": "embedder"}, "is for the engine 'late'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    changes: dict[str, Any], settings: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    folder = pylate(tmp_path, **changes)
    assert expected in str(refusal_of(folder, scorer="maxsim", **settings))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"similarity": "l2"}, "similarity is 'l2'"),
        ({"mask_punctuation": False}, "mask_punctuation is False"),
        ({"doc_token_id": "[unused1]"}, "'[unused1]' is no token"),
    ],
)
def test_metadata_that_cannot_be_honoured_is_refused(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    assert expected in str(refusal_of(stanford(tmp_path, **changes), scorer="maxsim"))


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = stanford(tmp_path / "metadata")
    (folder / "artifact.metadata").unlink()
    assert "lacks artifact.metadata" in str(refusal_of(folder, scorer="maxsim"))
    folder = stanford(tmp_path / "tensor")
    checkpoints.change_tensors(folder, {}, without="linear.weight")
    assert "lacks the tensor linear.weight" in str(refusal_of(folder, scorer="maxsim"))
