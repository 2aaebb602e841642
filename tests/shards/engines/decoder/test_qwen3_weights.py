"""The config.json of a Qwen3, read without transformers, has the values that transformers reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from shards.engines.decoder.qwen3_shape import body_shapes, shape_of

_LOAD = """
import sys
from shards.engines import load_engine
from shards.wire.spec import ShardSpec
spec = ShardSpec(name="m/cpu", model="m", source=sys.argv[1], dtype="fp32", threads=1)
engine = load_engine(spec, lambda line: None)
print(engine.facts.engine, "transformers" in sys.modules)
"""


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_bytes()))


def old_form(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config as transformers 4 wrote it, and as Qwen3-Reranker has it."""
    rope = config["rope_parameters"]
    kept = {name: config[name] for name in config if name not in ("rope_parameters", "layer_types")}
    return kept | {"rope_theta": rope["rope_theta"], "rope_scaling": None}


def test_both_forms_have_the_values_that_transformers_reads(models: dict[str, Path]) -> None:
    from transformers import AutoConfig

    config = read(models["qwen3"])
    whole = AutoConfig.from_pretrained(models["qwen3"]).to_dict()
    shape = shape_of(whole)
    assert shape is not None
    assert (shape.layers, shape.heads, shape.kv_heads, shape.share) == (2, 4, 2, 2)
    assert shape_of(config) == shape_of(old_form(config)) == shape


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "qwen2"},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0}},
        {
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "partial_rotary_factor": 0.5,
            }
        },
        {"rope_parameters": None, "rope_theta": 1e6, "rope_scaling": {"rope_type": "linear"}},
        {"rope_parameters": None},
        {"layer_types": None, "use_sliding_window": True},
        {"head_dim": None},
        {"rms_norm_eps": None},
    ],
    ids=str,
)
def test_what_is_unusual_is_left_to_transformers(
    change: dict[str, Any], models: dict[str, Path]
) -> None:
    assert shape_of(read(models["qwen3"]) | change) is None


def test_the_tensors_are_those_of_transformers(models: dict[str, Path]) -> None:
    import transformers

    config = transformers.AutoConfig.from_pretrained(models["qwen3"])
    with torch.device("meta"):
        model = transformers.Qwen3Model(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    assert body_shapes(read(models["qwen3"])) == expected


@pytest.mark.timeout(400)
def test_a_plain_checkpoint_is_loaded_without_transformers(models: dict[str, Path]) -> None:
    """The import of transformers takes as long as all the rest of a load."""
    command = [sys.executable, "-c", _LOAD, str(models["qwen3"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["causal", "False"]
