"""A loaded cross-encoder as the classifier engine calls it: encoded pairs in, fp32 logits out.

BERT and its kin have a forward pass of their own, without padding (`bert`). All others go through
their transformers model, padded on the right with the model's own padding token (RoBERTa counts
positions by it) and masked; a batch of equal lengths needs no mask.

The head runs in fp32, with weights read from the file in the precision they are stored in, so that
bf16 does not make ties.
"""

from typing import Any, Protocol

import torch

from shards.checkpoint import Checkpoint
from shards.engines.bert import Encoder, Layer
from shards.engines.linears import FORMATS
from shards.engines.padding import padded_inputs
from shards.engines.unpadded import flatten
from shards.pairs import Batch


class CrossEncoder(Protocol):
    """A model with a classification head."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """Return fp32 logits, `[pairs, labels]`."""
        ...


class Padded:
    """A transformers model on padded batches."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._pad_id = model.config.pad_token_id or 0
        self._has_types = getattr(model.config, "type_vocab_size", 0) > 1

    def logits(self, batch: Batch) -> torch.Tensor:
        """See `CrossEncoder`."""
        inputs = padded_inputs(batch, pad_id=self._pad_id, types=self._has_types)
        if bool(inputs["attention_mask"].all()):
            del inputs["attention_mask"]
        on_device = {name: tensor.to(self._model.device) for name, tensor in inputs.items()}
        logits: torch.Tensor = self._model(**on_device).logits
        return logits.float()


class Unpadded:
    """BERT or its kin: layers of ours between transformers' embeddings and head."""

    def __init__(self, model: Any, layers: list[Layer], dtype: str) -> None:
        body = model.base_model
        self._encoder = Encoder(body, layers, FORMATS[dtype])
        self._pooler = getattr(body, "pooler", None)
        self._head = model.classifier
        self._device = str(model.device)

    @torch.inference_mode()
    def logits(self, batch: Batch) -> torch.Tensor:
        """See `CrossEncoder`."""
        flat = flatten(batch, self._device)
        first = self._encoder.first_states(flat).float()[:, None]  # as a sequence of one token
        logits: torch.Tensor = self._head(first if self._pooler is None else self._pooler(first))
        return logits.float()[flat.places]


def head_in_fp32(model: Any, checkpoint: Checkpoint) -> None:
    """Have what stands after the last layer computed in fp32, from the stored weights."""
    prefix = model.base_model_prefix
    for name, module in (
        ("classifier", getattr(model, "classifier", None)),
        (f"{prefix}.pooler", getattr(model.base_model, "pooler", None)),
    ):
        if module is not None and model.dtype != torch.float32:
            _in_fp32(module, name, checkpoint)


def _in_fp32(module: Any, prefix: str, checkpoint: Checkpoint) -> None:
    module.float()
    for name, parameter in module.named_parameters():
        if (stored := f"{prefix}.{name}") in checkpoint.tensors:
            parameter.copy_(checkpoint.read_tensor(stored))
    module.register_forward_pre_hook(lambda _, inputs: tuple(states.float() for states in inputs))
