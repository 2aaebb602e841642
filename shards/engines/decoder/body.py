"""The body of a decoder: token ids of pairs in, the states of their last tokens out.

Qwen3 has a forward pass of its own (`qwen3`). Other decoders, and Qwen3 with an unusual
configuration, run their transformers model (`generic`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from shards.checkpoint import Checkpoint, load_model
from shards.cost import Work
from shards.engines.decoder.qwen3 import Layer, Qwen3
from shards.engines.decoder.qwen3_shape import BEFORE, Shape, can_be_read_alone, shape_of
from shards.engines.decoder.qwen3_weights import Pack, Tensors, read_layer
from shards.engines.layers.elementwise import rms_normed
from shards.engines.layers.linear import as_they_lie, format_of, pack
from shards.engines.prefix_cache import PrefixCache
from shards.machine.instructions import AVX512_VNNI
from shards.native.library import found_kernels
from shards.pairs import Batch
from shards.refusal import Report

Norm = Callable[[torch.Tensor], torch.Tensor]


class Body(Protocol):
    """All of a decoder before its final norm.

    Attributes:
        on_step: called when a batch has come further.
        prefixes: the cached prefixes; empty if the body shares none.
    """

    on_step: Callable[[], None]
    prefixes: PrefixCache

    @property
    def last_work(self) -> Work:
        """The cost of the last batch."""
        ...

    def warm_up(self) -> None:
        """Prepare everything that would delay the first batches."""
        ...

    def last_states(self, batch: Batch) -> torch.Tensor:
        """Return the states of each pair's last token, `[pairs, hidden]`."""
        ...


@dataclass(frozen=True, slots=True)
class Weights:
    """A decoder that was read and checked, from which bodies can be made.

    Attributes:
        model: its transformers model; `None` where none was needed to read it.
        shape: the sizes that `qwen3` needs; `None` for other decoders.
        opened: opens the body's tensors. It returns a function from names to tensors, which may
            keep the files of these tensors mapped.
        warnings: warnings for the operator.
    """

    model: Any
    shape: Shape | None
    opened: Callable[[], Tensors]
    warnings: tuple[str, ...]

    @property
    def body(self) -> Any:
        return self.model.base_model


def read_weights(
    auto_class: Callable[[], Any],
    checkpoint: Checkpoint,
    *,
    vocabulary_size: int,
    dtype: str,
    device: str,
    report: Report,
) -> Weights:
    """Find and check the weights of a decoder.

    Args:
        auto_class: returns transformers' class for the decoder; called only if it is needed.

    Raises:
        Refusal: the weights cannot be loaded, see `load_model`.
    """
    shape = shape_of(checkpoint.config)
    if can_be_read_alone(checkpoint, vocabulary_size):
        size = sum(path.stat().st_size for path in checkpoint.files)
        report(f"loading weights, {size / 1e6:.0f} MB")
        return Weights(None, shape, partial(_opened, checkpoint), ())
    loaded, warnings = load_model(
        auto_class(),
        checkpoint,
        vocabulary_size=vocabulary_size,
        dtype=format_of(dtype),
        device="cpu" if shape else device,
        report=report,
    )
    shape = shape_of(loaded.config.to_dict())
    return Weights(loaded, shape, lambda: loaded.base_model.state_dict().__getitem__, warnings)


def _opened(checkpoint: Checkpoint) -> Tensors:
    read = checkpoint.reader()
    return lambda name: read(BEFORE + name)


def make_qwen3(weights: Weights, *, dtype: str, device: str, cache: PrefixCache) -> Body:
    """Make a Qwen3 in a number format, on a device; `weights` must have a shape."""
    assert weights.shape is not None
    table = weights.opened()("embed_tokens.weight")
    packed = partial(pack, bias=None, dtype=dtype, device=device)
    passing = PassingLayers(weights.shape, weights.opened, packed, device)
    layers = [passing[at] for at in range(len(passing))]
    if device != "cpu":
        table = table.to(device, format_of(dtype))
    return Qwen3(weights.shape, table, layers, dtype=dtype, cache=cache)


def passing_body(weights: Weights, dtype: str) -> Body:
    """Return a body in floats on the CPU that reads each layer when it runs, and keeps none.

    It is for one large batch: weights in bf16 are multiplied where they lie in the file. Those in
    fp32 are laid out, without which the product takes twice as long or more. So are those in bf16
    for a CPU without instructions for them, where oneDNN is slow and our kernel is not.
    """
    assert weights.shape is not None
    table = weights.opened()("embed_tokens.weight")
    packed: Pack = partial(as_they_lie, dtype=dtype)
    if dtype == "fp32" or found_kernels().tier == AVX512_VNNI:
        packed = partial(pack, bias=None, dtype=dtype, device="cpu")
    layers = PassingLayers(weights.shape, weights.opened, packed, "cpu")
    return Qwen3(weights.shape, table, layers, dtype=dtype, cache=PrefixCache(0))


@dataclass(frozen=True, slots=True)
class PassingLayers:
    """The layers of a model; each access reads and packs a layer anew."""

    shape: Shape
    opened: Callable[[], Tensors]
    pack: Pack
    device: str

    def __len__(self) -> int:
        return self.shape.layers

    def __getitem__(self, at: int) -> Layer:
        return read_layer(self.shape, at, self.opened(), self.pack, self.device)


def final_norm(weights: Weights, device: str) -> Norm:
    """Return the norm of the last states; it computes in fp32."""
    if weights.shape is None:
        norm: Norm = weights.body.norm.float()
        return norm
    weight = weights.opened()("norm.weight").to(device, torch.float32, copy=True)
    eps = weights.shape.eps
    return lambda states: rms_normed(states, weight, eps)
