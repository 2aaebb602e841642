"""Cross-encoders: BERT, XLM-R, ModernBERT and every other encoder with a classification head.

One label: the margin is its logit. Two labels: the positive one's logit less the other's, so that
its sigmoid is the softmax. The whole head that transformers calls `classifier` runs in fp32, with
weights read from the file in the precision they are stored in, so that bf16 does not make ties.

Batches are padded on the right with the model's own padding token (RoBERTa counts positions by it)
and masked; a batch of equal lengths needs no mask.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from shards import devices
from shards.checkpoint import (
    Checkpoint,
    expect_engine,
    load_model,
    longest_pair,
    open_checkpoint,
)
from shards.encoder import PairEncoder, load_tokenizer
from shards.engines.base import Facts
from shards.engines.padding import padded_ids, warm_up_batches
from shards.pairs import Batch
from shards.refusal import Refusal, Report
from shards.wire.spec import ShardSpec

_POSITIVE = frozenset({"yes", "relevant", "positive", "entailment", "1", "true"})


class ClassifierEngine:
    """An encoder with a classification head, on one device."""

    def __init__(
        self, model: Any, weights: Sequence[float], encoder: PairEncoder, facts: Facts
    ) -> None:
        self.facts = facts
        self.encoder = encoder
        self._model = model
        self._weights = torch.tensor(weights, device=facts.device)
        self._pad_id = model.config.pad_token_id or 0
        self._has_types = getattr(model.config, "type_vocab_size", 0) > 1

    def warm_up(self) -> None:
        """See `Engine`."""
        for batch in warm_up_batches(self.facts.max_length, token_id=self._pad_id + 1):
            self.score(batch)

    @torch.inference_mode()
    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        logits = self._model(**self._inputs(batch)).logits.float()
        margins: list[float] = (logits @ self._weights).tolist()
        return margins

    def _inputs(self, batch: Batch) -> dict[str, torch.Tensor]:
        device = self.facts.device
        ids = padded_ids(batch, pad_id=self._pad_id)
        places = torch.arange(ids.shape[1])
        inputs = {"input_ids": ids}
        lengths = [len(pair) for pair in batch]
        if min(lengths) < ids.shape[1]:
            inputs["attention_mask"] = (places < torch.tensor(lengths)[:, None]).long()
        if self._has_types:
            starts = torch.tensor([pair.document_start for pair in batch])
            inputs["token_type_ids"] = (places >= starts[:, None]).long()
        return {name: tensor.to(device) for name, tensor in inputs.items()}


def load(spec: ShardSpec, report: Report) -> ClassifierEngine:
    """Load a cross-encoder; see `shards.engines.base.Load`."""
    import transformers

    checkpoint = open_checkpoint(spec, report)
    expect_engine(checkpoint, "classifier")
    tokenizer = load_tokenizer(checkpoint.folder)
    vocabulary_size = tokenizer.backend.get_vocab_size()
    max_length = longest_pair(spec, checkpoint, tokenizer.max_length)
    encoder = PairEncoder(
        tokenizer, max_length=max_length, guard_special_tokens=spec.guard_special_tokens
    )
    device, device_warnings = devices.pick_device(spec)
    budget = devices.pick_token_budget(spec, device)
    dtype = devices.pick_dtype(spec, device, *checkpoint.sizes, report)
    model, load_warnings = load_model(
        transformers.AutoModelForSequenceClassification,
        checkpoint,
        vocabulary_size=vocabulary_size,
        dtype=getattr(torch, devices.DTYPES[dtype]),
        device=device,
        report=report,
    )
    weights, label_warnings = label_weights(model.config.id2label, checkpoint)
    _head_in_fp32(model, checkpoint, device)
    facts = Facts(
        engine="classifier",
        device=device,
        dtype=dtype,
        max_length=max_length,
        token_budget=budget,
        activation=checkpoint.activation,
        demonstration=checkpoint.demonstration,
        warnings=device_warnings
        + checkpoint.warnings
        + encoder.warnings
        + load_warnings
        + label_warnings,
        doubts=checkpoint.warnings + encoder.warnings + label_warnings,
    )
    return ClassifierEngine(model, weights, encoder, facts)


def label_weights(
    id2label: Mapping[int, str], checkpoint: Checkpoint
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return what each label's logit counts in the margin, and warnings."""
    if len(id2label) == 1:
        return (1.0,), ()
    if len(id2label) != 2:
        raise Refusal(
            f"{checkpoint.name} has {len(id2label)} labels ({', '.join(id2label.values())}); a "
            "reranker has one or two"
        )
    positive = [id for id, label in id2label.items() if label.lower() in _POSITIVE]
    if len(positive) == 1:
        return ((1.0, -1.0) if positive == [0] else (-1.0, 1.0)), ()
    labels = f"{id2label[0]!r} and {id2label[1]!r}"
    return (-1.0, 1.0), (f"labels {labels} do not say which is positive; guessed the last",)


def _head_in_fp32(model: Any, checkpoint: Checkpoint, device: str) -> None:
    head = getattr(model, "classifier", None)
    if head is None or model.dtype == torch.float32:
        return
    head.float()
    for name, parameter in head.named_parameters():
        if (stored := f"classifier.{name}") in checkpoint.tensors:
            parameter.copy_(checkpoint.read_tensor(stored).to(device))
    head.register_forward_pre_hook(lambda _, inputs: tuple(states.float() for states in inputs))
