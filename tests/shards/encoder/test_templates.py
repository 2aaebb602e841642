"""The right prompt goes with the right checkpoint, or none."""

import pytest

from shards.encoder import (
    TEMPLATES,
    choose_template,
)
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode


@pytest.mark.parametrize(
    ("name", "model_type", "checkpoint", "expected"),
    [
        ("auto", "qwen3", "Qwen/Qwen3-Reranker-4B", "qwen3-reranker"),
        ("auto", "qwen2", "mixedbread-ai/mxbai-rerank-base-v2", "mxbai-rerank-v2"),
        ("answer-is", "qwen3", "anything", "answer-is"),
        ("qwen3-reranker", "llama", "anything", "qwen3-reranker"),
    ],
)
def test_choose_template(name: str, model_type: str, checkpoint: str, expected: str) -> None:
    assert choose_template(name, model_type, checkpoint) is TEMPLATES[expected]


@pytest.mark.parametrize(
    ("name", "model_type"), [("qwen4", "qwen3"), ("auto", "qwen2"), ("auto", "llama")]
)
def test_an_unknown_prompt_is_refused_with_the_choices(name: str, model_type: str) -> None:
    with pytest.raises(Refusal, match=r"qwen3-reranker, answer-is") as refusal:
        choose_template(name, model_type, "some/model")
    assert refusal.value.exit_code is ExitCode.SPEC
