"""No tensor is random: a missing or contradicting tensor is refused by name."""

from pathlib import Path

import torch

from shards.checkpoint import open_checkpoint
from shards.engines import load_engine
from tests import checkpoints
from tests.shards.checkpoint.specs import copy_of, refusal_of, spec_of


def test_a_head_that_would_be_random_is_refused_by_name(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_tensors(folder, {}, without="classifier")
    refusal = str(refusal_of(folder))
    assert "stores no head (classifier, score), which would be random" in refusal


def test_an_untied_head_that_is_absent_is_refused_by_name(qwen3: Path, tmp_path: Path) -> None:
    folder = copy_of(qwen3, tmp_path)
    checkpoints.change_tensors(folder, {}, without="lm_head")
    assert "stores no head (lm_head), which would be random" in str(refusal_of(folder))


def test_a_tied_head_that_is_absent_is_as_it_should_be(tmp_path: Path) -> None:
    folder = checkpoints.qwen3(tmp_path)
    engine = load_engine(spec_of(folder), lambda line: None)
    assert "lm_head.weight" not in open_checkpoint(spec_of(folder), print).tensors
    assert engine.facts.warnings == ()


def test_a_tensor_of_another_shape_is_refused_by_name(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    wrong = {"classifier.weight": torch.zeros(1, 32)}
    checkpoints.change_tensors(folder, wrong, without="classifier.weight")
    assert "classifier.weight is [1, 32], its config says [1, 64]" in str(refusal_of(folder))


def test_tensors_that_are_not_used_are_reported(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_tensors(folder, {"bert.extra.weight": torch.zeros(2)})
    engine = load_engine(spec_of(folder), lambda line: None)
    assert engine.facts.warnings == ("tensors not used: bert.extra.weight",)
