"""The findings of a verification, on small checkpoints with random weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shards.checkpoint import open_checkpoint
from shards.engines import load_engine
from shards.engines.encoder.embedder import EmbedderEngine
from shards.tools.verify import checks
from shards.tools.verify.agreement import questions
from shards.tools.verify.facts import load_facts
from shards.tools.verify.published import CHECKPOINTS, published_for
from shards.tools.verify.reference import Reference
from shards.wire.spec import ShardSpec
from shards.worker.canary_check import CanaryCheck
from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import bi_encoder, normalize

SPEC = ShardSpec(name="m/cpu", model="m", source="", dtype="fp32", offline=True)


def untied(folder: Path) -> Path:
    return checkpoints.qwen3(folder, tied=False)


def two_labels(folder: Path) -> Path:
    return checkpoints.bert(folder, labels=("irrelevant", "relevant"))


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (checkpoints.qwen3, "model.embed_tokens.weight, tied to the embeddings"),
        (untied, "lm_head.weight, not tied"),
        (checkpoints.qwen3_seq_cls, "score.weight; 1 label"),
        (checkpoints.bert, "classifier.bias, classifier.weight; 1 label"),
        (two_labels, "classifier.bias, classifier.weight; 2 labels"),
    ],
)
def test_every_kind_of_checkpoint_agrees_with_plain_transformers(
    make: Callable[[Path], Path], head: str, tmp_path: Path
) -> None:
    spec = replace(SPEC, source=str(make(tmp_path)))
    engine = load_engine(spec, lambda _line: None)
    checkpoint = open_checkpoint(spec, lambda _line: None)
    facts = load_facts(spec, checkpoint, engine)
    assert facts["head"] == head
    assert ("yes" in facts.get("answers", "")) is head.endswith(("embeddings", "not tied"))
    assert checks.batches(engine).passed
    asked = questions(16)
    steps: list[int] = []
    ours = checks.own_margins(engine, asked, steps.append)
    reference = Reference(checkpoint.folder)
    theirs = [
        margin
        for question in asked
        for margin in reference.margins(question.query, question.documents, steps.append)
    ]
    found = checks.agrees(ours, "fp32", theirs)
    assert found.passed, found.said
    assert sum(steps) == 32
    assert not checks.agrees([margin + 0.1 for margin in ours], "fp32", theirs).passed


def test_the_canaries_and_batches_of_a_bi_encoder_are_computed_and_not_remembered(
    tmp_path: Path,
) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean", normalize())
    spec = replace(SPEC, source=str(folder), scorer="cosine", canary="numeric")
    engine = load_engine(spec, lambda _line: None)
    assert isinstance(engine, EmbedderEngine)
    facts = load_facts(spec, open_checkpoint(spec, lambda _line: None), engine)
    assert facts["scored as"] == "bi-encoder, cosine of two vectors"
    assert facts["margin"] == "margin: 20 * (cosine - 0)"
    assert checks.batches(engine).passed
    check = CanaryCheck(engine, spec)
    assert not check.after_load(lambda line: None)[0].findings
    assert sum(engine.last_work.computed) > 100
    check.again()
    assert sum(engine.last_work.computed) > 30


def test_published_scores_are_compared_with_those_of_their_checkpoint(tmp_path: Path) -> None:
    spec = replace(SPEC, source=str(checkpoints.bert(tmp_path)))
    engine = load_engine(spec, lambda _line: None)
    checkpoint = open_checkpoint(spec, lambda _line: None)
    assert checks.published(engine, checkpoint).passed is None
    config = {"hidden_size": 1024, "num_hidden_layers": 24}
    known = replace(checkpoint, name="BAAI/bge-reranker-v2-m3", config=config)
    found = checks.published(engine, known)
    assert found.passed is False
    assert "published is 0.9948" in found.said


def test_a_checkpoint_is_recognised_by_name_and_size() -> None:
    config = {"hidden_size": 1024, "num_hidden_layers": 28}
    assert published_for("Qwen/Qwen3-Reranker-0.6B", config)
    assert published_for("./qwen3-reranker-0.6b-copy", config)
    assert not published_for("Qwen/Qwen3-Reranker-0.6B", {**config, "num_hidden_layers": 2})
    assert not published_for("my-reranker", config)
    assert all(0 <= score.score <= 1 for known in CHECKPOINTS for score in known.scores)
