"""Qwen3-Reranker in MLX: the same recipe, prompts and margins as the engine `causal`.

The margin is one fp32 row times the last state behind the final norm, which runs in fp32. So the
151,669 logits are never computed.

Matrices in MLX's own codes (8 and 4 bits) are multiplied as they are stored if that ranks the known
pairs as the decoded weights do; otherwise they are decoded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from shards.checkpoint import Checkpoint, open_checkpoint, read_recipe
from shards.cost import Work
from shards.engines.base import Tokenizer
from shards.engines.decoder.qwen3_shape import (
    BEFORE,
    Shape,
    answer_tensors,
    can_be_read_alone,
    shape_of,
)
from shards.engines.decoder.skipped import without_skipped
from shards.engines.mlx.qwen3 import Qwen3, read_layer
from shards.engines.mlx.weights import FORMATS, Coded, Tensors
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
from shards.wire.exit_codes import ExitCode
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec


@dataclass(frozen=True, slots=True)
class Head:
    """The steps after the last layer, in fp32.

    Attributes:
        norm: the weight of the final norm, `[hidden]`.
        row: the row that makes the margin, `[hidden]`.
    """

    norm: mx.array
    row: mx.array
    eps: float

    def margins(self, states: mx.array) -> list[float]:
        """Return the margin of each state, `[pairs, hidden]`."""
        exact = mx.fast.rms_norm(states.astype(mx.float32), self.norm, self.eps)
        margins: Any = (exact * self.row).sum(axis=-1).tolist()
        return list(margins)


class MlxDecoder:
    """A decoder and its head; see `shards.engines.base.Engine`."""

    def __init__(
        self, body: Qwen3, head: Head, tokenizer: Tokenizer, facts: Facts, skipped: int | None
    ) -> None:
        """Take the parts; `skipped` is the token that the head skips at the end of a pair."""
        self.facts = facts
        self.tokenizer = tokenizer
        self._body = body
        self._head = head
        self._skipped = skipped

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

    def warm_up(self) -> None:
        """See `Engine`; also keeps the prefix of every request with the default instruction."""
        self.score(self.tokenizer.tokenize("?", ("", "!"), instruction="", max_document_tokens=0))

    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        pairs = without_skipped(batch, self._skipped)
        return self._head.margins(self._body.last_states(pairs))


def load_decoder(spec: ShardSpec, backend: str, report: Report) -> MlxDecoder:
    """Load a decoder; `backend` is the note of what computes."""
    checkpoint = open_checkpoint(spec, report)
    recipe = read_recipe(checkpoint, spec)
    tokenizer = load_tokenizer(checkpoint.folder)
    vocabulary_size = tokenizer.backend.get_vocab_size()
    shape = _shape(checkpoint, recipe, vocabulary_size)
    answers = answer_ids(tokenizer, recipe.answers) if recipe.answers else None
    max_length, length_notes = fitting_length(spec, checkpoint, tokenizer.max_length, recipe)
    notes, noting = notes_of(report)
    dtype = devices.pick_dtype(spec, devices.MLX, *checkpoint.sizes, noting)
    pairs = pair_tokenizer(spec, tokenizer, recipe, max_length, shares_prefixes=True)
    size = sum(path.stat().st_size for path in checkpoint.files)
    report(f"loading weights, {size / 1e6:.0f} MB")
    exact = Tensors(checkpoint, dtype, keeps_codes=False)
    head = Head(
        exact.vector(f"{BEFORE}norm.weight"), _row(exact, checkpoint, recipe, answers), shape.eps
    )
    mx.eval(head.norm, head.row)
    body, code_notes, code_warnings = _settled(spec, checkpoint, shape, dtype, pairs, head, report)
    doubts = (*recipe.warnings, *pairs.warnings)
    facts = Facts(
        engine="mlx",
        device=devices.MLX,
        dtype=dtype,
        max_length=max_length,
        token_budget=devices.pick_token_budget(spec, devices.MLX),
        packed=True,
        activation=recipe.activation,
        uses_instruction=recipe.takes_instruction,
        demonstration=checkpoint.demonstration,
        languages=checkpoint.languages,
        fingerprint=checkpoint.fingerprint,
        files=checkpoint.fingerprint,
        notes=(backend, *recipe.notes, *length_notes, *notes, *code_notes, *checkpoint.notes),
        warnings=(
            *(*doubts, *unused_rows(checkpoint, vocabulary_size)),
            *(*unused_instruction(spec, recipe), *code_warnings),
        ),
        doubts=doubts,
        markers=recipe.prompt.markers if recipe.prompt else (),
        labels=recipe.labels,
    )
    return MlxDecoder(body, head, pairs, facts, recipe.skipped_token)


def _shape(checkpoint: Checkpoint, recipe: Recipe, vocabulary_size: int) -> Shape:
    shape = shape_of(checkpoint.config)
    is_plain = recipe.engine == "causal" and can_be_read_alone(checkpoint, vocabulary_size)
    if shape is None or not is_plain:
        raise Refusal(
            f"{checkpoint.name} ({recipe.kind}) is no plain Qwen3 decoder, and the device mlx "
            "computes nothing else: choose another device",
            ExitCode.SPEC,
        )
    return shape


def _made(
    spec: ShardSpec, checkpoint: Checkpoint, shape: Shape, dtype: str, *, keeps_codes: bool
) -> Qwen3:
    tensors = Tensors(checkpoint, dtype, keeps_codes=keeps_codes)
    return Qwen3(
        shape,
        tensors.matrix(f"{BEFORE}embed_tokens.weight"),
        [read_layer(at, tensors) for at in range(shape.layers)],
        form=FORMATS[dtype],
        cache=PrefixCache(spec.prefix_cache_mb << 20),
    )


def _settled(
    spec: ShardSpec,
    checkpoint: Checkpoint,
    shape: Shape,
    dtype: str,
    tokenizer: Tokenizer,
    head: Head,
    report: Report,
) -> tuple[Qwen3, tuple[str, ...], tuple[str, ...]]:
    """Return the body that serves, notes and warnings."""
    made = _made(spec, checkpoint, shape, dtype, keeps_codes=True)
    if not any(isinstance(layer.down, Coded) for layer in made.layers):
        return made, (), ()
    from shards.engines.formats import compare, margins_of_known_pairs  # imports torch

    def margins(body: Qwen3) -> list[float]:
        return margins_of_known_pairs(
            tokenizer, lambda batch: head.margins(body.last_states(batch))
        )

    decoded = _made(spec, checkpoint, shape, dtype, keeps_codes=False)
    found = compare(margins(decoded), margins(made))
    note = f"products with MLX's codes against decoded weights: {found}"
    report(note)
    if found.suffices:
        made.prefixes.clear()
        return made, (note,), ()
    decoded.prefixes.clear()
    return decoded, (note,), (f"{note}: decoded weights are used",)


def _row(
    tensors: Tensors,
    checkpoint: Checkpoint,
    recipe: Recipe,
    answers: tuple[int, int | None] | None,
) -> mx.array:
    """Return the row that makes the margin, in fp32."""
    if recipe.answers and answers:
        true, false = answers
        row = _answer_row(tensors, checkpoint, true)
        if false is not None:
            row = row - _answer_row(tensors, checkpoint, false)
        return row * recipe.answers.scale
    rows = tensors.vector("score.weight")
    if len(rows) != len(recipe.label_weights):
        raise Refusal(
            f"{checkpoint.name} has {len(rows)} rows for {len(recipe.label_weights)} labels: its "
            "config.json is another checkpoint's"
        )
    return mx.array(recipe.label_weights) @ rows


def _answer_row(tensors: Tensors, checkpoint: Checkpoint, id: int) -> mx.array:
    stored = answer_tensors(checkpoint, is_tied=bool(checkpoint.config["tie_word_embeddings"]))
    rows = [tensors.row(name, id) for name in stored]
    if any(not mx.array_equal(rows[0], other).item() for other in rows[1:]):
        raise Refusal(
            f"{checkpoint.name} stores {' and '.join(stored)}, which differ, and its "
            "config.json says tie_word_embeddings: which of them scores is not known"
        )
    return rows[0]
