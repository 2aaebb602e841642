"""From loading to margins on a simulated GPU: every tensor has the right device and format."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shards.engines import load_engine
from shards.engines.base import Engine
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.simulated_gpu import DEVICE, simulated_gpu

MODELS: dict[str, Callable[[Path], Path]] = {
    "qwen3": checkpoints.qwen3,
    "bert": lambda folder: checkpoints.encoder(folder, "bert", types=True),
    "modernbert": checkpoints.modernbert,
}


def loaded(folder: Path, dtype: str) -> Engine:
    spec = ShardSpec(name="m/cuda:0", model="m", source=str(folder), dtype=dtype, device=DEVICE)
    return load_engine(spec, lambda line: None)


def margins_of_all(folder: Path, dtype: str) -> Facts:
    """Load a model in a format, score some pairs, and return its facts."""
    engine = loaded(folder, dtype)
    engine.warm_up()
    documents = (*checkpoints.SAMPLES, "", "x")
    for query in ("one", "another query", "one"):
        pairs = engine.tokenizer.tokenize(query, documents, instruction="", max_document_tokens=0)
        assert engine.score(pairs) == [0.0] * len(documents)
    return engine.facts


@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_of_today_computes_in_bf16_without_padding(model: str, tmp_path: Path) -> None:
    with simulated_gpu():
        facts = margins_of_all(MODELS[model](tmp_path), "auto")
    assert (facts.device, facts.dtype) == (DEVICE, "bf16")
    dtype = "dtype bf16: this GPU computes it as fast as fp16, and it has fp32's range"
    measured = facts.notes[facts.notes.index(dtype) :]
    assert measured[1] == "attention is PyTorch's varlen_attn"
    assert measured[2:] in ((), ("steps between products are not fused: Triton is missing",))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("capability", [(9, 0), (7, 5)])
def test_no_copy_of_a_batch_blocks(model: str, capability: tuple[int, int], tmp_path: Path) -> None:
    """Numbers come to the GPU from pinned memory, with any kind of attention."""
    with simulated_gpu(capability) as held:
        engine = loaded(MODELS[model](tmp_path), "auto")
        engine.warm_up()
        pairs = engine.tokenizer.tokenize(
            "one", checkpoints.SAMPLES, instruction="", max_document_tokens=0
        )
        held.waits.clear()
        engine.score(pairs)
        assert held.waits == []
        torch.ones(3).to(DEVICE)
        assert held.waits == ["a copy of (3,), not pinned"]


@pytest.mark.parametrize(
    ("model", "dtype"), [("qwen3", "fp32"), ("qwen3", "auto"), ("modernbert", "auto")]
)
def test_an_older_gpu_computes_in_fp16_or_fp32_by_products_over_groups(
    model: str, dtype: str, tmp_path: Path
) -> None:
    with simulated_gpu(capability=(7, 5)):
        facts = margins_of_all(MODELS[model](tmp_path), dtype)
    assert facts.dtype == ("fp32" if dtype == "fp32" else "fp16")
    assert facts.notes[-1 - (model == "qwen3")].startswith(
        "attention is batched products over groups: flash attention "
    )


def test_a_tensor_left_on_the_cpu_is_detected() -> None:
    """The simulation is as strict as a GPU: tensors of two devices do not mix."""
    with simulated_gpu():
        there, here = torch.ones(3).to(DEVICE), torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(RuntimeError, match=r"shape|size"):
            there @ torch.ones(4).to(DEVICE)
        with pytest.raises(RuntimeError, match="dtype"):
            there @ torch.ones(3).to(DEVICE, torch.float16)


def test_bytes_that_are_held_are_counted() -> None:
    with simulated_gpu() as held:
        first = torch.empty(1000, device=DEVICE)
        assert held.peak_bytes == 4000
        second = first + 1
        del first, second
        assert held.peak_bytes == 8000
        torch.empty(500, dtype=torch.bfloat16, device=DEVICE)
        assert held.peak_bytes == 8000
