"""Qwen3-Reranker and other decoders: how much likelier is "yes" than "no" as the next token?

The margin is one fp32 row times one vector: `(W[yes] - W[no]) . norm(h_last)`. So neither the
151,669 logits nor any position but the last are computed, and margins do not tie as bf16 logits do.
The row is read from the file in the precision it is stored in; the final norm runs in fp32.

A seq-cls conversion is the same computation, with the row stored as `score.weight`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from shards import devices
from shards.checkpoint import Checkpoint, expect_engine, longest_pair, open_checkpoint
from shards.encoder import (
    CausalEncoder,
    LoadedTokenizer,
    Template,
    choose_template,
    load_tokenizer,
)
from shards.engines.agreement import margins_of_known_pairs
from shards.engines.base import Facts
from shards.engines.bodies import (
    Body,
    Norm,
    Weights,
    final_norm,
    make_qwen3,
    passing_body,
    read_weights,
)
from shards.engines.decoders import Decoder, decoder_of
from shards.engines.formats import said_of_int8, said_of_kernels, settle
from shards.engines.fused import fusing
from shards.engines.later import later, runs_by_itself
from shards.engines.prefixes import PrefixCache
from shards.engines.qwen3 import sizes_of
from shards.pairs import Batch
from shards.refusal import Refusal, Report, notes_of
from shards.wire.spec import ShardSpec
from shards.work import Work

_TIED_NAMES = ("model.embed_tokens.weight", "embed_tokens.weight", "lm_head.weight")
_UNTIED_NAMES = ("lm_head.weight",)


class CausalEngine:
    """A decoder body, its final norm and one row, on one device."""

    def __init__(
        self, body: Body, norm: Norm, row: torch.Tensor, encoder: CausalEncoder, facts: Facts
    ) -> None:
        self.facts = facts
        self.encoder = encoder
        self.runs_ahead = runs_by_itself(facts.device)
        self._body = body
        self._norm = norm
        self._row = row

    @property
    def last_work(self) -> Work:
        """See `CountsWork`."""
        return self._body.last_work

    @property
    def prefixes(self) -> PrefixCache:
        """See `KeepsPrefixes`."""
        return self._body.prefixes

    @property
    def on_step(self) -> Callable[[], None]:
        """See `TellsSteps`."""
        return self._body.on_step

    @on_step.setter
    def on_step(self, call: Callable[[], None]) -> None:
        self._body.on_step = call

    @torch.inference_mode()
    def warm_up(self) -> None:
        """See `Engine`; also keeps the prefix of every request with the default instruction."""
        self._body.warm_up()
        self.score(self.encoder.encode("?", ("", "!"), instruction="", max_document_tokens=0))

    def launch(self, batch: Batch) -> Callable[[], list[float]]:
        """See `RunsAhead`."""
        return _launched(self._body, self._norm, self._row, batch)

    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        return self.launch(batch)()


@torch.inference_mode()
def _launched(body: Body, norm: Norm, row: torch.Tensor, batch: Batch) -> Callable[[], list[float]]:
    return later(norm(body.last_states(batch).float()) @ row)


def load(spec: ShardSpec, report: Report) -> CausalEngine:
    """Load a decoder reranker; see `shards.engines.base.Load`."""
    checkpoint = open_checkpoint(spec, report)
    expect_engine(checkpoint, "causal")
    template = choose_template(spec.template, checkpoint.model_type, checkpoint.full_name)
    tokenizer = load_tokenizer(checkpoint.folder)
    max_length = longest_pair(spec, checkpoint, tokenizer.max_length, template.max_length)
    device, device_warnings = devices.pick_device(spec)
    notes, noting = notes_of(report)
    dtype = devices.pick_dtype(spec, device, *checkpoint.sizes, noting)
    weights = read_weights(
        partial(_auto_class, checkpoint),
        checkpoint,
        vocabulary_size=tokenizer.backend.get_vocab_size(),
        dtype=dtype,
        device=device,
        report=report,
    )
    norm = final_norm(weights, device)
    decoder = None if weights.shape else _decoder(weights, spec, dtype, device, max_length)
    is_packed = decoder is None or decoder.is_flat
    encoder = _encoder(spec, tokenizer, template, max_length, is_packed)
    row = _row(weights.model, checkpoint, encoder).to(device)
    known = partial(_known_margins, encoder, norm, row)
    settled = settle(
        dtype,
        partial(_made, decoder, weights, spec, device),
        known,
        takes_int8=decoder is None,
        sizes=checkpoint.sizes,
        anyway=spec.int8_anyway,
        report=report,
        exact_margins=lambda: known(passing_body(weights)),
    )
    if head_dim := weights.shape.head_dim if weights.shape else decoder and decoder.head_dim:
        notes.extend(said_of_kernels(device, settled.dtype, head_dim))
    if weights.shape and device.startswith("cuda"):
        sizes = sizes_of(weights.shape, checkpoint.sizes[0])
        notes.append(fusing(device, settled.dtype, sizes).said)
    if decoder is None and (spec.dtype, settled.dtype, device) == ("auto", "bf16", "cpu"):
        notes.append(said_of_int8(checkpoint.sizes))
    facts = Facts(
        engine="causal",
        device=device,
        dtype=settled.dtype,
        max_length=max_length,
        token_budget=devices.pick_token_budget(spec, device),
        packed=is_packed,
        activation=checkpoint.activation,
        uses_instruction=True,
        demonstration=checkpoint.demonstration,
        languages=checkpoint.languages,
        fingerprint=checkpoint.fingerprint,
        notes=(*notes, *settled.notes, *(decoder.notes if decoder else ())),
        warnings=(
            *(*device_warnings, *checkpoint.warnings, *encoder.warnings),
            *(*weights.warnings, *settled.warnings),
        ),
    )
    return CausalEngine(settled.made, norm, row, encoder, facts)


def _encoder(
    spec: ShardSpec,
    tokenizer: LoadedTokenizer,
    template: Template,
    max_length: int,
    shares_prefixes: bool,
) -> CausalEncoder:
    return CausalEncoder(
        tokenizer,
        template,
        max_length=max_length,
        instruction=spec.instruction,
        guard_special_tokens=spec.guard_special_tokens,
        shares_prefixes=shares_prefixes,
    )


def _known_margins(
    encoder: CausalEncoder, norm: Norm, row: torch.Tensor, body: Body
) -> list[float]:
    return margins_of_known_pairs(encoder, lambda batch: _launched(body, norm, row, batch)())


def _decoder(
    weights: Weights, spec: ShardSpec, dtype: str, device: str, max_length: int
) -> Decoder:
    """Return a decoder of transformers, without its final norm."""
    body = weights.body
    body.norm = torch.nn.Identity()  # only the last tokens meet it, see `final_norm`
    return decoder_of(
        body,
        dtype="bf16" if dtype == "int8" else dtype,
        device=device,
        max_length=max_length,
        cache=PrefixCache(spec.prefix_cache_mb << 20),
    )


def _made(
    decoder: Decoder | None, weights: Weights, spec: ShardSpec, device: str, dtype: str
) -> Body:
    if decoder is not None:
        return decoder.body
    cache = PrefixCache(spec.prefix_cache_mb << 20)
    return make_qwen3(weights, dtype=dtype, device=device, cache=cache)


def _is_lm(checkpoint: Checkpoint) -> bool:
    return checkpoint.architecture.endswith("ForCausalLM")


def _auto_class(checkpoint: Checkpoint) -> Any:
    import transformers

    if _is_lm(checkpoint):
        return transformers.AutoModelForCausalLM
    return transformers.AutoModelForSequenceClassification


def _row(model: Any, checkpoint: Checkpoint, encoder: CausalEncoder) -> torch.Tensor:
    if _is_lm(checkpoint):
        return _answer_row(model, checkpoint, encoder)
    return _score_row(checkpoint)


def _answer_row(model: Any, checkpoint: Checkpoint, encoder: CausalEncoder) -> torch.Tensor:
    """Return `W[yes] - W[no]` in fp32, from the file where it is stored more precisely."""
    names = _TIED_NAMES if _is_tied(model, checkpoint) else _UNTIED_NAMES
    stored = next((name for name in names if name in checkpoint.tensors), None)
    yes, no = (
        (
            checkpoint.read_tensor(stored, slice(id, id + 1))[0]
            if stored
            else model.get_output_embeddings().weight[id]
        ).float()
        for id in (encoder.yes_id, encoder.no_id)
    )
    return yes - no


def _is_tied(model: Any, checkpoint: Checkpoint) -> bool:
    """Whether the rows of the answers are embeddings."""
    if model is None:
        return bool(checkpoint.config["tie_word_embeddings"])
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _score_row(checkpoint: Checkpoint) -> torch.Tensor:
    """Return the row of a seq-cls conversion, which is `W[yes] - W[no]` already."""
    rows = checkpoint.read_tensor("score.weight")
    if len(rows) != 1:
        raise Refusal(
            f"{checkpoint.name} has {len(rows)} labels; a seq-cls conversion has one: convert it again"
        )
    return rows[0].float()
