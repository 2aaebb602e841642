"""Refusals of other models and of broken rerankers, with an instruction for the operator."""

import json
from pathlib import Path

import pytest
import torch

from tests import checkpoints
from tests.shards.checkpoint.specs import copy_of, engine_name, refusal_of, spec_of

PLAIN = 151_936


def widen(folder: Path) -> None:
    """Give a checkpoint the many rows that its config.json declares."""
    checkpoints.change_tensors(folder, {"rows": torch.zeros(PLAIN, 1)})


def test_an_embedder_without_modules_is_recognised_by_its_name(qwen3: Path, tmp_path: Path) -> None:
    folder = copy_of(qwen3, tmp_path / "Qwen3-Embedding-0.6B")
    checkpoints.change_config(folder, _name_or_path=None)
    refusal = str(refusal_of(folder))
    assert "is an embedder (it is called one)" in refusal
    assert "trained to rank" in refusal
    folder = copy_of(qwen3, tmp_path / "embedding" / "my-qwen3-reranker")
    assert engine_name(spec_of(folder)) == "causal"


def test_a_plain_language_model_is_refused(qwen3: Path, tmp_path: Path) -> None:
    folder = copy_of(qwen3, tmp_path / "rerankers" / "Qwen3-0.6B")
    checkpoints.change_config(folder, _name_or_path=None, vocab_size=PLAIN)
    widen(folder)
    refusal = str(refusal_of(folder))
    assert "looks like a plain language model: a vocabulary of 151936" in refusal
    assert "Qwen/Qwen3-Reranker-0.6B" in refusal
    assert "`template`" in refusal
    assert engine_name(spec_of(folder, template="qwen3-reranker")) == "causal"


@pytest.mark.parametrize("cached", ["models--Qwen--Qwen3-Reranker-0.6B", "Qwen--Qwen3-Reranker"])
def test_a_snapshot_in_a_cache_has_the_name_of_its_model(
    cached: str, qwen3: Path, tmp_path: Path
) -> None:
    folder = copy_of(qwen3, tmp_path / cached / "snapshots" / "master")
    checkpoints.change_config(folder, _name_or_path=None)
    assert engine_name(spec_of(folder)) == "causal"


@pytest.mark.parametrize("sign", ["folder", "saved name", "chat template", "template in config"])
def test_a_language_model_with_a_sign_of_ranking_is_served(
    sign: str, qwen3: Path, tmp_path: Path
) -> None:
    name = "my-Qwen3-Reranker" if sign == "folder" else "m"
    folder = copy_of(qwen3, tmp_path / name)
    saved = "org/Qwen3-Reranker-4B" if sign == "saved name" else None
    checkpoints.change_config(folder, vocab_size=PLAIN, _name_or_path=saved)
    widen(folder)
    question = "Judge whether the Document meets the requirements"
    if sign == "chat template":
        (folder / "chat_template.jinja").write_text(question)
    if sign == "template in config":
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": question}))
    assert engine_name(spec_of(folder)) == "causal"


def test_a_classifier_with_three_labels_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path, labels=("contradiction", "neutral", "entailment"))
    refusal = str(refusal_of(folder))
    assert "has 3 labels (contradiction, neutral, entailment)" in refusal
    assert "has one or two: use a checkpoint that was trained to rank" in refusal


@pytest.mark.parametrize("positions", [1024, 40_960])
def test_a_config_with_more_positions_than_there_are_is_refused(
    positions: int, bert: Path, tmp_path: Path
) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(folder, max_position_embeddings=positions)
    refusal = str(refusal_of(folder))
    assert "position_embeddings.weight" in refusal
    assert str(positions) in refusal


def test_a_tokenizer_without_the_answers_is_refused(qwen3: Path, tmp_path: Path) -> None:
    folder = copy_of(qwen3, tmp_path)
    checkpoints.write_tokenizer(
        folder, checkpoints.word_tokenizer(), tokenizer_class="PreTrainedTokenizerFast"
    )
    path = folder / "tokenizer.json"
    tokens = json.loads(path.read_text())
    tokens["model"]["vocab"] = {
        piece: id for piece, id in tokens["model"]["vocab"].items() if piece not in {"yes", "no"}
    }
    path.write_text(json.dumps(tokens))
    refusal = str(refusal_of(folder))
    assert "'yes' and 'no' must be one token each" in refusal
    assert "choose the template" in refusal
