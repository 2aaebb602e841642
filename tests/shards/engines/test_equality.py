"""Margins equal the plain transformers computation, in fp32, in any batch."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.engines import load_engine
from shards.engines.base import Engine
from shards.native.library import limited_to
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference
from tests.shards.native.here import every_limit

TOLERANCE = 1e-4  # of the margin, in fp32
BF16_TOLERANCE = 0.35  # margins of these models spread over about 4; bf16 keeps 8 bits

EMBEDDED = Path(__file__).parents[3] / "shards" / "models"

QUERIES = {
    "english": "what is the capital of France?",
    "russian": "как часто нужно ходить к стоматологу?",
    "chinese": "中国的首都是哪里？",
}
LONG = " ".join(checkpoints.SAMPLES * 60)[:20_000]
DOCUMENTS = (*checkpoints.SAMPLES, "", " ", "Paris", "don't\n\nstop\t  now", "naïve café 🙂")

CAUSAL = ("qwen3", "qwen3-untied", "embedded-qwen3")
CLASSIFIERS = {
    "bert": 512,
    "bert-two-labels": 512,
    "xlm-roberta": 128,
    "modernbert": 512,
    "embedded-bert": 512,
}


@cache
def engine_of(folder: Path, dtype: str = "fp32", max_length: int = 0) -> Engine:
    spec = ShardSpec(
        name="m/cpu", model="m", source=str(folder), dtype=dtype, max_length=max_length
    )
    return load_engine(spec, lambda line: None)


def folder_of(name: str, models: dict[str, Path]) -> Path:
    return EMBEDDED / name if name.startswith("embedded") else models[name]


def score(
    engine: Engine, query: str, documents: Sequence[str], instruction: str = ""
) -> list[float]:
    """Score as a shard does: similar lengths together, several batches."""
    pairs = engine.tokenizer.tokenize(
        query, documents, instruction=instruction, max_document_tokens=0
    )
    order = sorted(range(len(pairs)), key=lambda at: len(pairs[at]))
    margins = [0.0] * len(pairs)
    for start in range(0, len(order), 16):
        some = order[start : start + 16]
        for at, margin in zip(some, engine.score([pairs[at] for at in some]), strict=True):
            margins[at] = margin
    return margins


def mixed_documents(count: int) -> list[str]:
    """Return documents of 0 to 60 words in three languages."""
    words = " ".join(checkpoints.SAMPLES).split()
    draw = random.Random(7)
    return [" ".join(draw.choices(words, k=draw.randrange(60))) for _ in range(count)]


@pytest.mark.parametrize("language", QUERIES)
@pytest.mark.parametrize("name", CAUSAL)
def test_causal_equals_the_model_card(name: str, language: str, models: dict[str, Path]) -> None:
    folder = folder_of(name, models)
    expected = reference.causal_margins(folder, QUERIES[language], DOCUMENTS)
    assert score(engine_of(folder), QUERIES[language], DOCUMENTS) == pytest.approx(
        expected, abs=TOLERANCE
    )


@pytest.mark.parametrize("max_length", [0, 300])
@pytest.mark.parametrize("name", CAUSAL)
def test_causal_equals_the_model_card_for_20_000_characters(
    name: str, max_length: int, models: dict[str, Path]
) -> None:
    folder = folder_of(name, models)
    engine = engine_of(folder, max_length=max_length)
    expected = reference.causal_margins(
        folder, "planets", [LONG, "short"], limit=engine.facts.max_length
    )
    assert score(engine, "planets", [LONG, "short"]) == pytest.approx(expected, abs=TOLERANCE)


def test_causal_equals_the_model_card_for_200_documents(models: dict[str, Path]) -> None:
    documents = mixed_documents(200)
    expected = reference.causal_margins(models["qwen3"], "planets", documents)
    margins = score(engine_of(models["qwen3"]), "planets", documents)
    assert margins == pytest.approx(expected, abs=TOLERANCE)
    assert max(margins) - min(margins) > 1  # the documents have different scores


def test_causal_equals_the_model_card_for_one_document_and_an_instruction(
    models: dict[str, Path],
) -> None:
    instruction = "Find the recipe, 请找到食谱"
    expected = reference.causal_margins(models["qwen3"], "борщ", ["Borscht is a soup"], instruction)
    ours = score(engine_of(models["qwen3"]), "борщ", ["Borscht is a soup"], instruction)
    assert ours == pytest.approx(expected, abs=TOLERANCE)
    assert ours != score(engine_of(models["qwen3"]), "борщ", ["Borscht is a soup"])


@pytest.mark.skipif(
    not checkpoints.REAL_TOKENIZER.is_dir(),
    reason="the real Qwen3 tokenizer is not beside the project (../shared/data/qwen3-tokenizer)",
)
def test_causal_equals_the_model_card_with_the_real_vocabulary(tmp_path: Path) -> None:
    folder = checkpoints.qwen3(tmp_path, real=True)
    expected = reference.causal_margins(folder, QUERIES["chinese"], DOCUMENTS)
    engine = engine_of(folder)
    assert score(engine, QUERIES["chinese"], DOCUMENTS) == pytest.approx(expected, abs=TOLERANCE)


def test_seq_cls_conversion_equals_transformers(models: dict[str, Path]) -> None:
    folder = models["qwen3-seq-cls"]
    documents = [*DOCUMENTS, LONG]
    expected = reference.seq_cls_margins(folder, QUERIES["russian"], documents)
    engine = engine_of(folder)
    assert engine.facts.engine == "causal"
    assert score(engine, QUERIES["russian"], documents) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("language", QUERIES)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_equals_transformers(name: str, language: str, models: dict[str, Path]) -> None:
    folder = folder_of(name, models)
    engine = engine_of(folder)
    assert engine.facts.max_length == CLASSIFIERS[name]
    expected = reference.classifier_margins(
        folder, QUERIES[language], [*DOCUMENTS, LONG], limit=engine.facts.max_length
    )
    margins = score(engine, QUERIES[language], [*DOCUMENTS, LONG])
    assert margins == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["bert", "xlm-roberta", "modernbert"])
def test_classifier_equals_transformers_for_200_documents_and_for_one(
    name: str, models: dict[str, Path]
) -> None:
    folder, engine = models[name], engine_of(models[name])
    documents = mixed_documents(200)
    expected = reference.classifier_margins(
        folder, "planets", documents, limit=engine.facts.max_length
    )
    margins = score(engine, "planets", documents)
    assert margins == pytest.approx(expected, abs=TOLERANCE)
    assert max(margins) - min(margins) > 1
    assert score(engine, "planets", documents[:1]) == pytest.approx(expected[:1], abs=TOLERANCE)


ALONE = ("qwen3", "qwen3-seq-cls", "bert", "bert-two-labels", "xlm-roberta", "modernbert")


@pytest.mark.parametrize("name", ALONE)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(places=st.lists(st.integers(0, 11), min_size=1, max_size=9))
def test_a_margin_does_not_depend_on_its_batch(
    name: str, places: list[int], models: dict[str, Path]
) -> None:
    engine = engine_of(models[name])
    pairs = engine.tokenizer.tokenize(
        "query", mixed_documents(12), instruction="", max_document_tokens=0
    )
    together = engine.score([pairs[place] for place in places])
    alone = [engine.score([pairs[place]])[0] for place in places]
    assert together == pytest.approx(alone, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["qwen3", "qwen3-untied", "bert", "xlm-roberta", "modernbert"])
@pytest.mark.parametrize("limit", every_limit)
def test_bf16_stays_near_fp32(name: str, limit: str, models: dict[str, Path]) -> None:
    documents = mixed_documents(40)
    exact = score(engine_of(models[name]), "planets", documents)
    with limited_to(limit):
        bf16_engine = engine_of.__wrapped__(models[name], dtype="bf16")  # for this test alone
        rounded = score(bf16_engine, "planets", documents)
    assert rounded == pytest.approx(exact, abs=BF16_TOLERANCE)
    assert rounded != exact
    assert len(set(rounded)) > 0.9 * len(set(exact))  # bf16 logits would tie
