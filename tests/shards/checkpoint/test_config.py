"""Length, activation and name in a checkpoint's config."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from shards.checkpoint import longest_pair, open_checkpoint
from shards.checkpoint.config_keys import NO_MATTER, keys_of
from shards.engines import load_engine
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from tests import checkpoints
from tests.shards.checkpoint.specs import copy_of, refusal_of, spec_of


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "sigmoid"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
            "identity",
        ),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}},
            "sigmoid",
        ),
    ],
)
def test_activation(changes: dict[str, Any], expected: str, bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(folder, **changes)
    facts = load_engine(spec_of(folder), lambda line: None).facts
    assert (facts.activation, facts.warnings) == (expected, ())


def test_an_activation_that_is_not_known_is_reported(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / "config_sentence_transformers.json").write_text('{"activation_fn": "my.Tanh"}')
    facts = load_engine(spec_of(folder), lambda line: None).facts
    assert facts.activation == "sigmoid"
    assert "my.Tanh" in facts.warnings[0]


def test_demonstration_is_what_the_checkpoint_calls_itself(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    assert not load_engine(spec_of(folder), lambda line: None).facts.demonstration
    checkpoints.change_config(folder, rerank_gateway={"demonstration": True})
    assert load_engine(spec_of(folder), lambda line: None).facts.demonstration


@pytest.mark.parametrize(
    ("config", "tokenizer", "default", "asked", "expected"),
    [
        ({"max_position_embeddings": 512}, None, None, 0, 512),
        ({"max_position_embeddings": 512}, 256, None, 0, 256),
        (
            {"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1},
            None,
            None,
            0,
            512,
        ),
        ({"max_position_embeddings": 40960}, 131072, 8192, 0, 8192),
        ({"max_position_embeddings": 40960}, 131072, 8192, 20000, 20000),
        ({"max_position_embeddings": 4096}, None, 8192, 0, 4096),
        ({"max_position_embeddings": 512}, None, None, 128, 128),
        ({"max_position_embeddings": -1}, None, None, 300, 300),
    ],
)
def test_longest_pair(
    config: dict[str, Any],
    tokenizer: int | None,
    default: int | None,
    asked: int,
    expected: int,
    bert: Path,
    tmp_path: Path,
) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(folder, **config)
    spec = spec_of(folder, max_length=asked)
    checkpoint = open_checkpoint(spec, lambda line: None)
    assert longest_pair(spec, checkpoint, tokenizer, default) == expected


def test_more_than_the_checkpoint_can_do_is_refused(bert: Path) -> None:
    refusal = refusal_of(bert, max_length=513)
    assert "max_length 513 is over the limit" in str(refusal)
    assert "512 tokens" in str(refusal)
    assert refusal.exit_code is ExitCode.SPEC


def test_a_checkpoint_without_any_limit_asks_for_one(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(folder, max_position_embeddings=None)
    checkpoint = open_checkpoint(spec_of(folder), lambda line: None)
    with pytest.raises(Refusal, match="set `max_length`"):
        longest_pair(spec_of(folder), checkpoint, None)


@pytest.mark.parametrize("model_type", ["qwen3", "bert"])
def test_keys_that_are_written_down_are_those_of_transformers(model_type: str) -> None:
    made: Any = CONFIG_MAPPING[model_type]
    theirs = {field.name for field in fields(made)} | set(made.attribute_map)
    assert keys_of(model_type) <= theirs | set(made().to_dict()) | NO_MATTER
    checked = {"add_cross_attention", "is_encoder_decoder"}  # by their values
    assert theirs - NO_MATTER - checked - {"layer_types"} <= keys_of(model_type)
