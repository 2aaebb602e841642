"""Weights in codes with scales: what they stand for, what is refused, and the model they make."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shards.checkpoint import open_checkpoint, stored_shapes
from shards.checkpoint.quantised.codes import decoded
from shards.engines import load_engine
from shards.engines.base import afresh
from shards.tools.verify.similarity import SimilarityReference
from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import bi_encoder, normalize
from tests.shards.checkpoint.specs import refusal_of, spec_of

_BLOCK = 16


def test_codes_stand_for_the_numbers_that_their_description_gives() -> None:
    scales = torch.tensor([[0.5, 2.0]], dtype=torch.float16)
    four = torch.tensor([[0x80, 0x9F]], dtype=torch.uint8)  # 0 and 8, then 15 and 9
    assert decoded(four, scales, bits=4, block=2).tolist() == [[-4.0, 0.0, 14.0, 2.0]]
    eight = torch.tensor([[-127, 2, 3, -4]], dtype=torch.int8)
    assert decoded(eight, scales, bits=8, block=2).tolist() == [[-63.5, 1.0, 6.0, -8.0]]


def _in_codes(folder: Path, bits: int) -> dict[str, torch.Tensor]:
    """Store the matrices of a checkpoint in codes; return the numbers that they stand for."""
    tensors, numbers = load_file(folder / "model.safetensors"), {}
    for name in [name for name, tensor in tensors.items() if tensor.dim() == 2]:
        matrix = tensors.pop(name)
        matrix = matrix.reshape(len(matrix), -1, _BLOCK)
        most = 7 if bits == 4 else 127
        scales = (matrix.abs().amax(-1) / most).clamp_min(1e-3).half()
        codes = (matrix / scales.float()[..., None]).round().clamp(-most, most).flatten(1)
        numbers[name] = (codes.reshape(matrix.shape) * scales.float()[..., None]).flatten(1)
        tensors[f"{name}.scales"] = scales
        stored = (codes + 8).to(torch.uint8)
        tensors[f"{name}.codes"] = (
            stored[:, 0::2] | stored[:, 1::2] << 4 if bits == 4 else codes.to(torch.int8)
        ).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    form = {"weights": {"bits": bits, "block": _BLOCK}, "scorer": "cosine"}
    checkpoints.change_config(folder, rerank_gateway=form)
    return numbers


@pytest.mark.parametrize("bits", [4, 8])
def test_a_model_in_codes_scores_as_the_numbers_that_they_stand_for(
    bits: int, tmp_path: Path
) -> None:
    folder = bi_encoder(tmp_path / "codes", "bert", "mean", normalize())
    plain = bi_encoder(tmp_path / "plain", "bert", "mean", normalize())
    numbers = _in_codes(folder, bits)
    checkpoints.change_tensors(plain, numbers)
    checkpoint = open_checkpoint(spec_of(folder), lambda line: None)
    shapes = stored_shapes(open_checkpoint(spec_of(plain), lambda line: None))
    assert stored_shapes(checkpoint) == shapes
    read = checkpoint.reader()
    for name, expected in numbers.items():
        assert torch.equal(read(name), expected)
        assert torch.equal(checkpoint.read_tensor(name, slice(1, 3)), expected[1:3])
    ours, theirs = (
        load_engine(spec_of(made, scorer="cosine"), lambda line: None) for made in (folder, plain)
    )
    texts = ("The capital of France is Paris.", "Borscht is a soup.", "")
    pairs = ours.tokenizer.tokenize("gravity", texts, instruction="", max_document_tokens=0)
    margins = afresh(ours)(pairs)
    assert margins == afresh(theirs)(pairs)
    reference = SimilarityReference(folder).margins("gravity", texts, lambda done: None)
    assert margins == pytest.approx(reference, abs=1e-4)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"bits": 3, "block": _BLOCK}, "bits is 3, 4 or 8 is expected"),
        ({"bits": 8, "block": _BLOCK}, ".codes is stored as U8"),
        ({"bits": 4, "block": 8}, ".scales is stored as F16"),
        ({"bits": 4, "block": 15}, "an even number"),
        ({"bits": 4, "block": _BLOCK, "zero": 7}, "zero, which may change scores"),
        ({"bits": 4}, "an even number"),
    ],
)
def test_a_form_that_is_not_that_of_the_tensors_is_refused(
    form: Mapping[str, int], expected: str, tmp_path: Path
) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean")
    _in_codes(folder, 4)
    checkpoints.change_config(folder, rerank_gateway={"weights": form, "scorer": "cosine"})
    assert expected in str(refusal_of(folder))


@pytest.mark.parametrize("lost", ["codes", "scales"])
def test_codes_without_scales_and_scales_without_codes_are_refused(
    lost: str, tmp_path: Path
) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean")
    _in_codes(folder, 8)
    name = "embeddings.word_embeddings.weight"
    checkpoints.change_tensors(folder, {}, without=f"{name}.{lost}")
    assert name in str(refusal_of(folder))


def test_integers_that_no_config_explains_are_refused_as_before(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean")
    _in_codes(folder, 8)
    config = json.loads((folder / "config.json").read_text())["rerank_gateway"]
    assert config.pop("weights")
    checkpoints.change_config(folder, rerank_gateway=config)
    assert "as I8; give the fp32, bf16 or fp16 checkpoint" in str(refusal_of(folder))
