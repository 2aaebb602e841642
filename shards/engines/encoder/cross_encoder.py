"""A loaded cross-encoder as the classifier engine calls it: tokenized pairs in, fp32 logits out.

BERT-like models and ModernBERT have forward passes of their own, without padding (`bert`,
`modernbert`; the table is in `formats`). All others go through their transformers model, padded on
the right with the model's own padding token (RoBERTa counts positions by it) and masked; a batch of
equal lengths needs no mask.

The head runs in fp32, with weights read from the file in their stored precision, so that bf16 makes
no ties.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch

from shards.checkpoint import Checkpoint
from shards.engines.layers.packed_encoder_layout import PackedBatch, pack_batch
from shards.engines.layers.padding import padded_inputs
from shards.machine.devices import moved
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
        # A head that looks for the last token finds it by padding, and there is none.
        self._is_alone = model.config.pad_token_id is None and hasattr(model.config, "rms_norm_eps")
        self._has_types = getattr(model.config, "type_vocab_size", 0) > 1

    def logits(self, batch: Batch) -> torch.Tensor:
        """See `CrossEncoder`."""
        if self._is_alone and len(batch) > 1:
            return torch.cat([self.logits([pair]) for pair in batch])
        inputs = padded_inputs(batch, pad_id=self._pad_id, types=self._has_types)
        if bool(inputs["attention_mask"].all()):
            del inputs["attention_mask"]
        device = str(self._model.device)
        on_device = {name: moved(tensor, device) for name, tensor in inputs.items()}
        logits: torch.Tensor = self._model(**on_device).logits
        return logits.float()


class Unpadded:
    """A body of ours on flat batches, with transformers' head."""

    def __init__(
        self,
        pooled: Callable[[PackedBatch], torch.Tensor],
        head: Callable[[torch.Tensor], torch.Tensor],
        device: str,
    ) -> None:
        """Take a body and what judges it.

        Args:
            pooled: returns a row for each pair, shortest first, `[pairs, hidden]`.
            head: takes these rows in fp32, and returns logits, `[pairs, labels]`.
        """
        self._pooled = pooled
        self._head = head
        self._device = device

    @torch.inference_mode()
    def logits(self, batch: Batch) -> torch.Tensor:
        """See `CrossEncoder`."""
        flat = pack_batch(batch, self._device)
        logits = self._head(self._pooled(flat).float())
        return logits.float()[flat.places]


def head_in_fp32(model: Any, checkpoint: Checkpoint) -> None:
    """Have what stands after the last layer computed in fp32, from the stored weights."""
    prefix = model.base_model_prefix
    for name, module in (
        ("classifier", getattr(model, "classifier", None)),
        ("head", getattr(model, "head", None)),
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
