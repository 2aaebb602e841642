"""The body of a BERT, with transformers' names and without its import, which takes seconds.

It holds tensors for `bert`, which computes the layers, and embeds tokens as transformers does. A
checkpoint that stores other tensors than these is left to transformers.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from shards.checkpoint import Checkpoint, stores_just

Rows = Callable[[torch.Tensor], torch.Tensor]

_DEFAULTS: dict[str, Any] = {  # of transformers' BertConfig
    "hidden_act": "gelu",
    "is_decoder": False,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "position_embedding_type": None,
    "type_vocab_size": 2,
}
_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "max_position_embeddings"),
)
_WORDS = "embeddings.word_embeddings.weight"
_POOLER = "pooler.dense"  # may be stored, and is not used


class _Embeddings(nn.Module):
    """The embeddings of tokens.

    Attributes:
        words: returns the vectors of words that are stored in codes, which take an eighth of the
            memory; `None` where their table is a tensor.
    """

    words: Rows | None = None

    def forward(
        self, input_ids: torch.Tensor, token_type_ids: torch.Tensor, position_ids: torch.Tensor
    ) -> torch.Tensor:
        states = self._rows("token_type", token_type_ids) + self._rows("position", position_ids)
        if self.words is None:
            states = states + self._rows("word", input_ids)
        else:
            words = self.words(input_ids.flatten()).to(states)
            states = states + words.view(states.shape)
        norm: Any = self.LayerNorm
        return functional.layer_norm(states, norm.weight.shape, norm.weight, norm.bias, norm.eps)

    def _rows(self, table: str, ids: torch.Tensor) -> torch.Tensor:
        return functional.embedding(ids, self.get_parameter(f"{table}_embeddings.weight"))


class PlainBert(nn.Module):
    """The tensors of a BERT, under their names.

    Attributes:
        config: its configuration, with transformers' defaults.
    """

    def __init__(self, config: Any, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings()
        for name, tensor in tensors.items():
            *parents, last = name.split(".")
            module: nn.Module = self
            for parent in parents:
                if parent not in module._modules:
                    layers = nn.ModuleList() if parent == "layer" else nn.Module()
                    module.add_module(parent, layers)
                module = module.get_submodule(parent)
            module.register_parameter(last, nn.Parameter(tensor, requires_grad=False))
            if parents[-1] == "LayerNorm":
                module.eps = config.layer_norm_eps

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return next(self.parameters()).device


def plain_bert(
    checkpoint: Checkpoint, *, dtype: torch.dtype, device: str, vocabulary_size: int
) -> PlainBert | None:
    """Return the body of a checkpoint; `None` if it is not that of a plain BERT.

    Args:
        vocabulary_size: the number of tokens in the tokenizer.
    """
    config = SimpleNamespace(**(_DEFAULTS | dict(checkpoint.config)))
    if checkpoint.model_type != "bert" or not all(hasattr(config, size) for size in _SIZES):
        return None
    shapes = _shapes(config)
    unused = dict(_linear(_POOLER, config.hidden_size, config.hidden_size))
    if vocabulary_size > config.vocab_size or not stores_just(checkpoint, shapes, unused):
        return None
    words = checkpoint.rows_reader(_WORDS) if device == "cpu" else None
    read = checkpoint.reader()
    needed = [name for name in shapes if words is None or name != _WORDS]
    body = PlainBert(config, {name: read(name).to(device, dtype) for name in needed})
    body.embeddings.words = words
    return body.eval()


def _shapes(config: Any) -> dict[str, list[int]]:
    """Return the shapes of the body's tensors, by transformers' names."""
    hidden, inner = config.hidden_size, config.intermediate_size
    tables = {
        "word": config.vocab_size,
        "token_type": config.type_vocab_size,
        "position": config.max_position_embeddings,
    }
    shapes = {f"embeddings.{name}_embeddings.weight": [n, hidden] for name, n in tables.items()}
    shapes |= _norm("embeddings.LayerNorm", hidden)
    for at in range(config.num_hidden_layers):
        layer = f"encoder.layer.{at}"
        for name in ("query", "key", "value"):
            shapes |= _linear(f"{layer}.attention.self.{name}", hidden, hidden)
        shapes |= _linear(f"{layer}.attention.output.dense", hidden, hidden)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= _linear(f"{layer}.intermediate.dense", inner, hidden)
        shapes |= _linear(f"{layer}.output.dense", hidden, inner)
        shapes |= _norm(f"{layer}.output.LayerNorm", hidden)
    return shapes


def _linear(name: str, outputs: int, inputs: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [outputs, inputs], f"{name}.bias": [outputs]}


def _norm(name: str, width: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [width], f"{name}.bias": [width]}
