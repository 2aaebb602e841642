"""Qwen3-Reranker and other decoders: how much likelier is "yes" than "no" as the next token?

The margin is one fp32 row times one vector: `(W[yes] - W[no]) . norm(h_last)`. So neither the
151,669 logits nor any position but the last are computed, and margins do not tie as bf16 logits do.
The row is read from the file in the precision it is stored in; the final norm runs in fp32.

Where the recipe has no false answer the row is `W[yes]` alone. A decoder with labels is the same
computation, with rows stored as `score.weight`: one, or the difference of two.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from shards.checkpoint import Checkpoint, expect_engine, open_checkpoint, read_recipe
from shards.cost import Work
from shards.engines.base import Tokenizer
from shards.engines.decoder.body import (
    Body,
    Norm,
    Weights,
    final_norm,
    make_qwen3,
    passing_body,
    read_weights,
)
from shards.engines.decoder.generic import Decoder, decoder_of
from shards.engines.decoder.qwen3 import sizes_of
from shards.engines.decoder.qwen3_shape import answer_tensors
from shards.engines.decoder.skipped import without_skipped
from shards.engines.formats import (
    instead,
    int8_note,
    kernel_notes,
    margins_of_known_pairs,
    onednn_products,
    settle,
)
from shards.engines.layers.async_copy import is_asynchronous, read_later
from shards.engines.layers.fused import fusing
from shards.engines.pair_setup import (
    fitting_length,
    pair_tokenizer,
    unused_instruction,
    unused_rows,
)
from shards.engines.prefix_cache import PrefixCache
from shards.machine import devices
from shards.pairs import Batch
from shards.recipe import Recipe
from shards.refusal import Refusal, Report, notes_of
from shards.tokenize import answer_ids, load_tokenizer
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec


class CausalEngine:
    """A decoder body, its final norm and one row, on one device."""

    def __init__(
        self,
        body: Body,
        norm: Norm,
        row: torch.Tensor,
        tokenizer: Tokenizer,
        facts: Facts,
        skipped: int | None = None,
    ) -> None:
        """Take the parts of a decoder.

        Args:
            skipped: the token that the head skips at the end of a pair; `None` for none.
        """
        self.facts = facts
        self._skipped = skipped
        self.tokenizer = tokenizer
        self.runs_ahead = is_asynchronous(facts.device)
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
        """See `ReportsSteps`."""
        return self._body.on_step

    @on_step.setter
    def on_step(self, call: Callable[[], None]) -> None:
        self._body.on_step = call

    @torch.inference_mode()
    def warm_up(self) -> None:
        """See `Engine`; also keeps the prefix of every request with the default instruction."""
        self._body.warm_up()
        self.score(self.tokenizer.tokenize("?", ("", "!"), instruction="", max_document_tokens=0))

    def launch(self, batch: Batch) -> Callable[[], list[float]]:
        """See `RunsAhead`."""
        return _launched(self._body, self._norm, self._row, without_skipped(batch, self._skipped))

    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        return self.launch(batch)()


@torch.inference_mode()
def _launched(body: Body, norm: Norm, row: torch.Tensor, batch: Batch) -> Callable[[], list[float]]:
    return read_later(norm(body.last_states(batch).float()) @ row)


def load(spec: ShardSpec, report: Report) -> CausalEngine:
    """Load a decoder reranker; see `shards.engines.base.Load`."""
    checkpoint = open_checkpoint(spec, report)
    recipe = read_recipe(checkpoint, spec)
    expect_engine(recipe, checkpoint.name, "causal")
    tokenizer = load_tokenizer(checkpoint.folder)
    answers = answer_ids(tokenizer, recipe.answers) if recipe.answers else None
    max_length, length_notes = fitting_length(spec, checkpoint, tokenizer.max_length, recipe)
    device, device_warnings = devices.pick_device(spec)
    notes, noting = notes_of(report)
    dtype = devices.pick_dtype(spec, device, *checkpoint.sizes, noting)
    vocabulary_size = tokenizer.backend.get_vocab_size()
    weights = _weights(checkpoint, recipe, vocabulary_size, dtype, device, report)
    norm = final_norm(weights, device)
    decoder = None if weights.shape else _decoder(weights, spec, recipe, dtype, device, max_length)
    is_packed = decoder is None or decoder.is_flat
    pairs = pair_tokenizer(spec, tokenizer, recipe, max_length, shares_prefixes=is_packed)
    row = _row(weights.model, checkpoint, recipe, answers).to(device)
    known = partial(_known_margins, pairs, norm, row)
    settled = settle(
        dtype,
        partial(_made, decoder, weights, spec, device),
        known,
        takes_int8=decoder is None,
        sizes=checkpoint.sizes,
        anyway=spec.int8_anyway,
        report=report,
        exact_margins=lambda: known(passing_body(weights, instead())),
    )
    head_dim = weights.shape.head_dim if weights.shape else decoder.head_dim if decoder else None
    notes += _kernel_notes(weights, checkpoint, device, settled.dtype, head_dim)
    if decoder is None and (spec.dtype, settled.dtype, device) == ("auto", instead(), "cpu"):
        notes.append(int8_note(checkpoint.sizes))
    doubts = (*recipe.warnings, *pairs.warnings)
    decoder_notes = (*(decoder.notes if decoder else ()), *checkpoint.notes)
    facts = Facts(
        engine="causal",
        device=device,
        dtype=settled.dtype,
        max_length=max_length,
        token_budget=devices.pick_token_budget(spec, device),
        packed=is_packed,
        activation=recipe.activation,
        uses_instruction=recipe.takes_instruction,
        demonstration=checkpoint.demonstration,
        languages=checkpoint.languages,
        fingerprint=checkpoint.fingerprint,
        files=checkpoint.fingerprint,
        notes=(*recipe.notes, *length_notes, *notes, *settled.notes, *decoder_notes),
        warnings=(
            *(*device_warnings, *doubts, *unused_rows(checkpoint, vocabulary_size)),
            *unused_instruction(spec, recipe),
            *(*weights.warnings, *settled.warnings),
        ),
        doubts=doubts,
        markers=recipe.prompt.markers if recipe.prompt else (),
        labels=recipe.labels,
        onednn_products=onednn_products(device, settled.dtype),
    )
    return CausalEngine(settled.made, norm, row, pairs, facts, recipe.skipped_token)


def _weights(
    checkpoint: Checkpoint,
    recipe: Recipe,
    vocabulary_size: int,
    dtype: str,
    device: str,
    report: Report,
) -> Weights:
    return read_weights(
        partial(_auto_class, recipe),
        checkpoint,
        vocabulary_size=vocabulary_size,
        dtype=dtype,
        device=device,
        report=report,
    )


def _kernel_notes(
    weights: Weights, checkpoint: Checkpoint, device: str, dtype: str, head_dim: int | None
) -> Iterator[str]:
    """Yield the notes about kernels and compiled steps."""
    if head_dim:
        yield from kernel_notes(device, dtype, head_dim)
    if weights.shape and device.startswith("cuda"):
        yield fusing(device, dtype, sizes_of(weights.shape, checkpoint.sizes[0])).summary


def _known_margins(tokenizer: Tokenizer, norm: Norm, row: torch.Tensor, body: Body) -> list[float]:
    return margins_of_known_pairs(tokenizer, lambda batch: _launched(body, norm, row, batch)())


def _decoder(
    weights: Weights, spec: ShardSpec, recipe: Recipe, dtype: str, device: str, max_length: int
) -> Decoder:
    """Return a decoder of transformers, without its final norm."""
    body = weights.body
    body.norm = torch.nn.Identity()  # only the last tokens meet it, see `final_norm`
    return decoder_of(
        body,
        dtype=instead() if dtype == "int8" else dtype,
        device=device,
        max_length=max_length,
        cache=PrefixCache(spec.prefix_cache_mb << 20),
        is_causal=recipe.is_causal,
    )


def _made(
    decoder: Decoder | None, weights: Weights, spec: ShardSpec, device: str, dtype: str
) -> Body:
    if decoder is not None:
        return decoder.body
    cache = PrefixCache(spec.prefix_cache_mb << 20)
    return make_qwen3(weights, dtype=dtype, device=device, cache=cache)


def _auto_class(recipe: Recipe) -> Any:
    import transformers

    if recipe.answers:
        return transformers.AutoModelForCausalLM
    return transformers.AutoModelForSequenceClassification


def _row(
    model: Any, checkpoint: Checkpoint, recipe: Recipe, answers: tuple[int, int | None] | None
) -> torch.Tensor:
    """Return the row that makes the margin, in fp32."""
    if recipe.answers and answers:
        return _answer_row(model, checkpoint, answers) * recipe.answers.scale
    rows = checkpoint.read_tensor("score.weight").float()
    if len(rows) != len(recipe.label_weights):
        raise Refusal(
            f"{checkpoint.name} has {len(rows)} rows for {len(recipe.label_weights)} labels: its "
            "config.json is another checkpoint's"
        )
    return torch.tensor(recipe.label_weights) @ rows


def _answer_row(
    model: Any, checkpoint: Checkpoint, answers: tuple[int, int | None]
) -> torch.Tensor:
    """Return `W[true] - W[false]`, from the file where it is stored more precisely."""
    stored = answer_tensors(checkpoint, is_tied=_is_tied(model, checkpoint))

    def row(id: int) -> torch.Tensor:
        rows = [checkpoint.read_tensor(name, slice(id, id + 1))[0].float() for name in stored]
        if any(not torch.equal(rows[0], other) for other in rows[1:]):
            raise Refusal(
                f"{checkpoint.name} stores {' and '.join(stored)}, which differ, and its "
                "config.json says tie_word_embeddings: which of them scores is not known"
            )
        if rows:
            return rows[0]
        found: torch.Tensor = model.get_output_embeddings().weight[id].float()
        return found

    true, false = answers
    return row(true) if false is None else row(true) - row(false)


def _is_tied(model: Any, checkpoint: Checkpoint) -> bool:
    """Return whether the rows of the answers are embeddings."""
    if model is None:
        return bool(checkpoint.config["tie_word_embeddings"])
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight
