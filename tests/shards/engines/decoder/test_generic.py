"""Decoders of transformers: packed, with margins of plain transformers, or padded, with a note."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.checkpoint.kind import DECODERS
from shards.engines import load_engine
from shards.engines.base import ReportsSteps
from shards.engines.decoder import generic as decoders
from shards.engines.decoder import packed_forward as flat
from shards.engines.decoder.causal import CausalEngine
from shards.engines.decoder.generic import Decoder, decoder_of
from shards.engines.formats import instead
from shards.engines.prefix_cache import PrefixCache
from shards.pairs import TokenizedPair
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference

TOLERANCE = 1e-4  # of the margin, in fp32
BF16_TOLERANCE = 0.35  # as for Qwen3, see test_equality

FLAT = sorted(DECODERS)
LONG = " ".join(checkpoints.SAMPLES * 8)
DOCUMENTS = (*checkpoints.SAMPLES, "", " ", "Paris", LONG)
QUERIES = ("capital of France?", "столица Франции", "x")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each family; that of Qwen3 has a bias, so Qwen3's own pass rejects it."""
    root = tmp_path_factory.mktemp("decoders")
    odd: dict[str, dict[str, Any]] = {"qwen3": {"attention_bias": True}}
    return {
        family: checkpoints.decoder(
            root / family, family, tie_word_embeddings=False, **odd.get(family, {})
        )
        for family in FLAT
    }


@cache
def engine_of(folder: Path, **settings: Any) -> CausalEngine:
    asked: dict[str, Any] = {"dtype": "fp32", "max_length": 2048, "template": "qwen3-reranker"}
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), **(asked | settings))
    engine = load_engine(spec, lambda line: None)
    assert isinstance(engine, CausalEngine)
    return engine


def pairs_of(engine: CausalEngine, query: str, documents: Sequence[str]) -> list[TokenizedPair]:
    return engine.tokenizer.tokenize(query, documents, instruction="", max_document_tokens=0)


# -- packed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FLAT)
def test_flat_rows_equal_plain_transformers(family: str, folders: dict[str, Path]) -> None:
    """Prefixes are new, cached and not shared; some documents are empty, some long."""
    engine = engine_of(folders[family])
    assert engine.facts.packed, engine.facts.notes
    pairs = pairs_of(engine, QUERIES[0], DOCUMENTS)
    assert pairs[0].prefix is not None
    expected = reference.causal_margins(folders[family], QUERIES[0], DOCUMENTS, limit=2048)
    assert engine.score(pairs) == pytest.approx(expected, abs=TOLERANCE)
    assert engine.last_work.prefix_misses
    assert engine.score(pairs[::-1]) == pytest.approx(expected[::-1], abs=TOLERANCE)
    assert not engine.last_work.prefix_misses
    alone = [replace(pair, prefix=None) for pair in pairs]
    assert engine.score(alone) == pytest.approx(expected, abs=TOLERANCE)
    assert max(expected) - min(expected) > 0.5  # the test can tell documents apart


@given(
    st.lists(
        st.tuples(st.sampled_from(QUERIES), st.sampled_from(DOCUMENTS[:-1]), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0, 1, 64]),
)
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_company_any_order_and_anything_kept(
    folders: dict[str, Path], asked: list[tuple[str, str, bool]], cache_mb: int
) -> None:
    engine = engine_of(folders["llama"], prefix_cache_mb=cache_mb)
    pairs = [pairs_of(engine, query, [document])[0] for query, document, _ in asked]
    alone = [replace(pair, prefix=None) for pair in pairs]
    batch = [
        pair if shares else plain
        for pair, plain, (*_, shares) in zip(pairs, alone, asked, strict=True)
    ]
    expected = [engine.score([pair])[0] for pair in alone]
    assert engine.score(batch) == pytest.approx(expected, abs=TOLERANCE)
    assert engine.score(batch[::-1]) == pytest.approx(expected[::-1], abs=TOLERANCE)


def test_a_repeated_query_costs_nothing(folders: dict[str, Path]) -> None:
    engine = engine_of(folders["mistral"], max_length=2000)  # an engine of this test's own
    engine.warm_up()
    engine.score(first := pairs_of(engine, "q", DOCUMENTS[:3]))
    prefix = first[0].prefix
    assert prefix is not None
    own = [pair.own_tokens for pair in first]
    work = engine.last_work
    hits_and_misses = (work.prefix_hits, work.prefix_misses)
    assert hits_and_misses == (1, 1)  # system prompt and instruction are warm
    assert list(work.saved) == [prefix.ends[0], len(prefix), len(prefix)]
    engine.score(first)
    work = engine.last_work
    assert (work.prefix_hits, work.prefix_misses) == (2, 0)
    assert list(work.computed[1:]) == own[1:]
    assert 0 <= work.computed[0] - own[0] < 8  # the row is filled up
    assert list(work.saved) == [len(prefix)] * 3


def test_each_layer_of_a_batch_is_reported(folders: dict[str, Path]) -> None:
    engine = engine_of(folders["llama"], max_length=2001)
    assert isinstance(engine, ReportsSteps)
    steps: list[int] = []
    engine.on_step = lambda: steps.append(len(steps))
    engine.score(pairs_of(engine, "q", ["a document"]))
    assert len(steps) == 2


@pytest.mark.parametrize("family", ["llama", "gemma", "phi3"])
def test_bf16_stays_near_fp32(family: str, folders: dict[str, Path]) -> None:
    exact, rounded = (engine_of(folders[family], dtype=dtype) for dtype in ("fp32", "bf16"))
    assert rounded.facts.packed
    margins = rounded.score(pairs_of(rounded, QUERIES[0], DOCUMENTS))
    expected = exact.score(pairs_of(exact, QUERIES[0], DOCUMENTS))
    assert margins == pytest.approx(expected, abs=BF16_TOLERANCE)
    assert margins != expected


def test_a_conversion_is_packed(tmp_path: Path) -> None:
    """A seq-cls checkpoint of another family has the row, and the same body."""
    folder = checkpoints.seq_cls(tmp_path, "llama")
    engine = engine_of(folder)
    assert engine.facts.packed
    expected = reference.seq_cls_margins(folder, QUERIES[0], DOCUMENTS)
    margins = engine.score(pairs_of(engine, QUERIES[0], DOCUMENTS))
    assert margins == pytest.approx(expected, abs=TOLERANCE)


def test_int8_is_for_qwen3_alone(folders: dict[str, Path]) -> None:
    facts = engine_of(folders["llama"], dtype="int8").facts
    other = instead()
    assert (facts.dtype, facts.packed) == (other, True)
    assert facts.warnings == (f"this kind of model has no int8 form: {other} is used",)


# -- padded ----------------------------------------------------------------------------------------


def test_a_window_smaller_than_pairs_is_padded_and_noted(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = checkpoints.decoder(tmp_path, "mistral", sliding_window=96)
    wide, narrow = (engine_of(folder, max_length=length) for length in (300, 96))
    assert narrow.facts.packed
    assert not wide.facts.packed
    assert [note for note in wide.facts.notes if "padded" in note] == [
        "batches are padded, and prefixes are not shared: a token sees 96 of the 151 up to itself; "
        "a `max_length` of so many would hide none"
    ]
    assert pairs_of(wide, "q", ["d"])[0].prefix is None
    expected = reference.causal_margins(folder, "q", DOCUMENTS, limit=300)
    margins = wide.score(pairs_of(wide, "q", DOCUMENTS))
    assert margins == pytest.approx(expected, abs=TOLERANCE)
    lengths = [len(pair) for pair in pairs_of(wide, "q", DOCUMENTS)]
    assert list(wide.last_work.computed) == [max(lengths)] * len(lengths)


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "gemma2": ({}, "its attention takes softcap"),
    "bloom": ({"n_layer": 2, "n_head": 4}, "its attention is its own"),  # ALiBi
    "gpt_oss": ({"num_local_experts": 2, "num_experts_per_tok": 1}, "a token sees 128 of"),
    "falcon_h1": (
        {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8},
        "not by attention alone",
    ),  # recurrent layers beside attention
    "lfm2": ({"layer_types": ["conv", "full_attention"]}, "of its 2 layers 1 attend"),
    "nemotron": ({}, "'attends'"),  # does not pass its arguments on to its attention
    "phi3": (
        {
            "head_dim": 16,
            "original_max_position_embeddings": 128,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "short_factor": [1.0] * 8,
                "long_factor": [4.0] * 8,
                "original_max_position_embeddings": 128,
            },
        },
        "depend on the longest pair of a batch",
    ),
}


def decoder(model_type: str, *, max_length: int = 200, **config: Any) -> Decoder:
    import transformers

    torch.manual_seed(0)
    settings: Any = transformers.AutoConfig.for_model(
        model_type, **(checkpoints.DECODER | {"vocab_size": 300} | config)
    )
    auto_class: Any = transformers.AutoModelForCausalLM
    body = auto_class.from_config(settings).eval().requires_grad_(False).base_model
    return decoder_of(
        body, dtype="fp32", device="cpu", max_length=max_length, cache=PrefixCache(1 << 20)
    )


@pytest.mark.parametrize("model_type", ODD)
def test_what_is_not_plain_is_padded_and_noted(model_type: str) -> None:
    config, why = ODD[model_type]
    chosen = decoder(model_type, **config)
    assert not chosen.is_flat
    (note,) = chosen.notes
    assert note.startswith("batches are padded, and prefixes are not shared: ")
    assert why in note
    ids = [[1, 2, 3, 4], [5, 6]]
    batch = [TokenizedPair(token_ids, len(token_ids), False) for token_ids in ids]
    alone = [chosen.body.last_states([pair]) for pair in batch]
    torch.testing.assert_close(
        chosen.body.last_states(batch), torch.cat(alone), atol=1e-4, rtol=1e-4
    )


def test_a_decoder_that_sees_later_tokens_is_refused() -> None:
    """Padding would change its scores; only its masks show that, its attention does not."""
    with pytest.raises(Refusal, match=r"another state beside a longer pair \(\d+\.\d% off"):
        decoder("llama", is_causal=False)


def test_positions_that_only_longer_pairs_change_do_no_harm() -> None:
    config, _ = ODD["phi3"]
    assert decoder("phi3", max_length=128, **config).is_flat


def test_states_that_differ_are_padded_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second net: the states of some pairs show what a probe of two tokens missed."""
    attend = flat._Pass.__call__

    def wrong(self: Any, module: Any, query: torch.Tensor, *rest: Any) -> torch.Tensor:
        return attend(self, module, query * 1.2, *rest)

    monkeypatch.setattr(flat._Pass, "__call__", wrong)
    chosen = decoder("llama")
    assert not chosen.is_flat
    assert "in a packed batch, with new prefix, a state is" in chosen.notes[0]
    monkeypatch.setattr(decoders, "MOST_APART", {"fp32": float("inf")})
    assert decoder("llama").is_flat
