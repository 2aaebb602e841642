"""Qwen3-Reranker and other decoders: how much likelier is "yes" than "no" as the next token?

The margin is one fp32 row times one vector: `(W[yes] - W[no]) . norm(h_last)`. So neither the
151,669 logits nor any position but the last are computed, and margins do not tie as bf16 logits do.
The row is read from the file in the precision it is stored in; the final norm runs in fp32.

Batches are padded on the right: attention is causal, so the last real token cannot see the padding,
no mask is needed and scaled_dot_product_attention keeps its fast path. Positions start at 0 in every
row; the official code pads on the left, which shifts them, and rotary positions are relative.

A seq-cls conversion is the same computation, with the row stored as `score.weight`.
"""

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
from shards.encoder import CausalEncoder, choose_template, load_tokenizer
from shards.engines.base import Facts
from shards.engines.padding import padded_ids, warm_up_batches
from shards.pairs import Batch
from shards.refusal import Refusal, Report
from shards.wire.spec import ShardSpec

_TIED_NAMES = ("model.embed_tokens.weight", "embed_tokens.weight", "lm_head.weight")
_UNTIED_NAMES = ("lm_head.weight",)


class CausalEngine:
    """A decoder body, its final norm and one row, on one device."""

    def __init__(self, model: Any, row: torch.Tensor, encoder: CausalEncoder, facts: Facts) -> None:
        self.facts = facts
        self.encoder = encoder
        self._body = model.base_model
        self._norm = self._body.norm.float()
        self._body.norm = torch.nn.Identity()  # only the last tokens meet it, see score()
        self._row = row.to(facts.device)

    def warm_up(self) -> None:
        """See `Engine`."""
        for batch in warm_up_batches(self.facts.max_length):
            self.score(batch)

    @torch.inference_mode()
    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        device = self.facts.device
        ids = padded_ids(batch, pad_id=0).to(device)
        states = self._body(input_ids=ids, use_cache=False).last_hidden_state
        ends = torch.tensor([len(pair) - 1 for pair in batch], device=device)
        last = states[torch.arange(len(batch), device=device), ends]
        margins: list[float] = (self._norm(last.float()) @ self._row).tolist()
        return margins


def load(spec: ShardSpec, report: Report) -> CausalEngine:
    """Load a decoder reranker; see `shards.engines.base.Load`."""
    import transformers

    checkpoint = open_checkpoint(spec, report)
    expect_engine(checkpoint, "causal")
    template = choose_template(spec.template, checkpoint.model_type, checkpoint.full_name)
    tokenizer = load_tokenizer(checkpoint.folder)
    vocabulary_size = tokenizer.backend.get_vocab_size()
    max_length = longest_pair(spec, checkpoint, tokenizer.max_length, template.max_length)
    encoder = CausalEncoder(
        tokenizer,
        template,
        max_length=max_length,
        instruction=spec.instruction,
        guard_special_tokens=spec.guard_special_tokens,
    )
    device, device_warnings = devices.pick_device(spec)
    budget = devices.pick_token_budget(spec, device)
    dtype = devices.pick_dtype(spec, device, *checkpoint.sizes, report)
    is_lm = checkpoint.architecture.endswith("ForCausalLM")
    model, load_warnings = load_model(
        transformers.AutoModelForCausalLM
        if is_lm
        else transformers.AutoModelForSequenceClassification,
        checkpoint,
        vocabulary_size=vocabulary_size,
        dtype=getattr(torch, devices.DTYPES[dtype]),
        device=device,
        report=report,
    )
    row = _answer_row(model, checkpoint, encoder) if is_lm else _score_row(model, checkpoint)
    facts = Facts(
        engine="causal",
        device=device,
        dtype=dtype,
        max_length=max_length,
        token_budget=budget,
        activation=checkpoint.activation,
        uses_instruction=True,
        demonstration=checkpoint.demonstration,
        warnings=device_warnings + checkpoint.warnings + encoder.warnings + load_warnings,
        doubts=checkpoint.warnings + encoder.warnings,
    )
    return CausalEngine(model, row, encoder, facts)


def _answer_row(model: Any, checkpoint: Checkpoint, encoder: CausalEncoder) -> torch.Tensor:
    """Return `W[yes] - W[no]` in fp32, from the file where it is stored more precisely."""
    weight = model.get_output_embeddings().weight
    is_tied = weight is model.get_input_embeddings().weight
    names = _TIED_NAMES if is_tied else _UNTIED_NAMES
    stored = next((name for name in names if name in checkpoint.tensors), None)
    yes, no = (
        (checkpoint.read_tensor(stored, slice(id, id + 1))[0] if stored else weight[id]).float()
        for id in (encoder.yes_id, encoder.no_id)
    )
    return yes - no


def _score_row(model: Any, checkpoint: Checkpoint) -> torch.Tensor:
    """Return the row of a seq-cls conversion, which is `W[yes] - W[no]` already."""
    labels = model.score.weight.shape[0]
    if labels != 1:
        raise Refusal(f"{checkpoint.name} has {labels} labels; a seq-cls conversion has one")
    return checkpoint.read_tensor("score.weight")[0].float()
