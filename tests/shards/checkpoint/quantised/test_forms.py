"""Quantised checkpoints: the numbers that they stand for, the scores, and what is refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from shards.checkpoint import open_checkpoint
from shards.engines import load_engine
from shards.wire.facts import Facts
from tests import checkpoints
from tests.shards.checkpoint.quantised.writers import FORMS, Form, awq, gptq
from tests.shards.checkpoint.specs import copy_of, refusal_of, spec_of

LAYERS = {"qwen3": "model.layers.", "bert": "bert.encoder.layer."}
LAYER = "model.layers.0.mlp.up_proj"


def quantised(folder: Path, form: Form, kind: str = "qwen3") -> dict[str, torch.Tensor]:
    """Quantise the matrices of a checkpoint's layers; return the numbers that they stand for."""
    path, numbers = folder / "model.safetensors", {}
    tensors = load_file(path)
    for name in [
        one for one in tensors if one.startswith(LAYERS[kind]) and tensors[one].dim() == 2
    ]:
        parts, numbers[name] = form.write(tensors.pop(name))
        layer = name.removesuffix(".weight")
        tensors |= {f"{layer}.{part}": tensor.clone() for part, tensor in parts.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    checkpoints.change_config(folder, **form.config)
    return numbers


def loaded(folder: Path) -> tuple[Facts, list[float]]:
    """Return the facts of a model, and its margins of some pairs."""
    engine = load_engine(spec_of(folder), lambda line: None)
    texts = ["the moon pulls the sea", "bread is baked from flour", "planets orbit the sun"]
    pairs = engine.tokenizer.tokenize("gravity", texts, instruction="", max_document_tokens=0)
    return engine.facts, list(engine.score(pairs))


@pytest.mark.parametrize("name", FORMS)
def test_a_quantised_model_scores_as_its_numbers(name: str, qwen3: Path, tmp_path: Path) -> None:
    form = FORMS[name]
    ours, theirs = copy_of(qwen3, tmp_path / "quantised"), copy_of(qwen3, tmp_path / "numbers")
    numbers = quantised(ours, form)
    checkpoints.change_tensors(theirs, numbers)
    checkpoint = open_checkpoint(spec_of(ours), lambda line: None)
    read = checkpoint.reader()
    before = load_file(qwen3 / "model.safetensors")
    for matrix, expected in numbers.items():
        torch.testing.assert_close(read(matrix), expected, rtol=1e-6, atol=1e-7)
        assert torch.equal(checkpoint.read_tensor(matrix, slice(1, 3)), read(matrix)[1:3])
        assert 0 < (expected - before[matrix]).abs().max() < before[matrix].abs().max()
    facts, margins = loaded(ours)
    assert margins == pytest.approx(loaded(theirs)[1], abs=2e-5)
    assert any(f"weights are quantised: {form.summary}" in note for note in facts.notes)
    assert facts.warnings == ()


@pytest.mark.parametrize(("form", "packing"), [(gptq(), "auto_gptq"), (awq(), "auto_awq")])
def test_auto_round_packs_as_gptq_or_awq(
    form: Form, packing: str, qwen3: Path, tmp_path: Path
) -> None:
    folder = copy_of(qwen3, tmp_path)
    numbers = quantised(folder, form)
    named = {"quant_method": "auto-round", "packing_format": f"auto_round:{packing}"}
    changed = form.config["quantization_config"] | named
    checkpoints.change_config(folder, quantization_config=changed)
    read = open_checkpoint(spec_of(folder), lambda line: None).reader()
    for matrix, expected in numbers.items():
        torch.testing.assert_close(read(matrix), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["GPTQ", "FP8 in blocks", "NF4"])
def test_an_encoder_is_built_without_what_transformers_would_need(
    name: str, bert: Path, tmp_path: Path
) -> None:
    ours, theirs = copy_of(bert, tmp_path / "quantised"), copy_of(bert, tmp_path / "numbers")
    checkpoints.change_tensors(theirs, quantised(ours, FORMS[name], "bert"))
    facts, margins = loaded(ours)
    assert margins == pytest.approx(loaded(theirs)[1], abs=2e-5)
    assert facts.warnings == ()


def test_parts_may_lie_in_several_files(qwen3: Path, tmp_path: Path) -> None:
    folder = copy_of(qwen3, tmp_path)
    quantised(folder, gptq())
    (_, before), one = loaded(folder), load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {name: f"model-{len(name) % 3}.safetensors" for name in one}
    for file in set(files.values()):
        save_file(
            {name: one[name] for name in one if files[name] == file},
            folder / file,
            metadata={"format": "pt"},
        )
    index = json.dumps({"weight_map": files})
    (folder / "model.safetensors.index.json").write_text(index)
    assert loaded(folder)[1] == before


@pytest.mark.parametrize(
    ("form", "config", "part", "change", "expected"),
    [
        (gptq(), {"bits": 3}, "", None, "bits is 3, 2 or 4 or 8 is expected"),
        (gptq(), {"bits": 8}, "", None, ".scales is stored as"),
        (gptq(), {"group_size": 64}, "", None, ".scales is stored as"),
        (gptq(), {"checkpoint_format": "marlin"}, "", None, "one of gptq, gptq_v2"),
        (gptq(), {"dynamic": {"-:.*": {}}}, "", None, "one form for all layers"),
        (gptq(), {"quant_method": "hqq"}, "", None, "quantised by hqq; auto-round, awq"),
        (gptq(), {"quant_method": None}, "", None, "quantised by an unnamed method"),
        (gptq(), {}, "qzeros", lambda words: words | -1, "zero points of 0"),
        (gptq(), {}, "scales", lambda scales: scales[:, :-1], ".scales is stored as"),
        (gptq(), {}, "qweight", lambda words: words.long(), ".qweight is stored as I64"),
        (gptq(with_order=True), {}, "g_idx", lambda order: order + 9, "a group that is not there"),
        (gptq(), {"quant_method": "auto-round"}, "", None, "packing_format is None"),
        (awq(), {"version": "gemv"}, "", None, "version is 'gemv'"),
        (FORMS["MLX"], {}, "scales", lambda scales: scales[:, :1], ".scales is stored as"),
        (FORMS["packed integers"], {"format": "nvfp4-pack-quantized"}, "", None, "format is"),
        (FORMS["packed integers"], {"transform_config": {"R4": {}}}, "", None, "no transform"),
        (
            FORMS["packed integers"],
            {"sparsity_config": {"format": "sparse-24-bitmask"}},
            *("", None, "format is 'sparse-24-bitmask', one of dense"),
        ),
        (
            FORMS["packed integers"],
            {},
            *("weight_shape", lambda shape: shape * 9, "weight_packed is stored as"),
        ),
        (FORMS["FP8 in blocks"], {"weight_block_size": [8]}, "", None, "two positive whole"),
        (FORMS["FP8 in blocks"], {"weight_block_size": [8, 8]}, "", None, "_inv is stored as"),
        (FORMS["NF4"], {}, "weight.quant_map", lambda table: table[:8], "quant_map is stored as"),
        (FORMS["8 bits"], {}, "weight_format", lambda form: form + 1, "weight_format is 1"),
    ],
)
def test_tensors_that_are_not_of_the_form_are_refused(
    form: Form,
    config: Mapping[str, Any],
    part: str,
    change: Callable[[torch.Tensor], torch.Tensor] | None,
    expected: str,
    qwen3: Path,
    tmp_path: Path,
) -> None:
    folder = copy_of(qwen3, tmp_path)
    quantised(folder, form)
    if config:
        ((key, named),) = form.config.items()
        checkpoints.change_config(folder, **{key: named | config})
    if change is not None:
        name = f"{LAYER}.{part}"
        tensor = load_file(folder / "model.safetensors")[name]
        checkpoints.change_tensors(folder, {name: change(tensor).contiguous()})
    assert expected in str(refusal_of(folder))


@pytest.mark.parametrize("name", FORMS)
def test_a_part_that_is_missing_is_refused(name: str, qwen3: Path, tmp_path: Path) -> None:
    folder = copy_of(qwen3, tmp_path)
    quantised(folder, FORMS[name])
    parts = [one for one in load_file(folder / "model.safetensors") if one.startswith(f"{LAYER}.")]
    harmless = ("input_scale", "weight_format", "g_idx", "weight_zero_point")
    for lost in parts:
        if lost.endswith(harmless):
            continue
        broken = copy_of(folder, tmp_path / lost)
        tensors = load_file(folder / "model.safetensors")
        del tensors[lost]
        save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
        assert LAYER in str(refusal_of(broken)), lost


def test_a_config_that_names_a_form_over_plain_floats_serves_the_floats(
    bert: Path, tmp_path: Path
) -> None:
    folder = copy_of(bert, tmp_path)
    config = {"quant_method": "compressed-tensors", "format": "dense"}
    checkpoints.change_config(folder, quantization_config=config)
    assert loaded(folder)[1] == pytest.approx(loaded(bert)[1], abs=1e-6)
