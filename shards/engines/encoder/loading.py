"""The load of an encoder: device, number format and model, and the facts of what serves."""

from collections.abc import Callable
from dataclasses import replace

from shards.checkpoint import Checkpoint
from shards.engines.encoder.cross_encoder import CrossEncoder
from shards.engines.encoder.formats import family_for, settled_in
from shards.engines.encoder.models import load_body_and_head
from shards.engines.encoder.setup import PairSetup
from shards.engines.formats import int8_note, kernel_notes, onednn_products
from shards.engines.layers.linear import format_of
from shards.machine import devices
from shards.pairs import Batch
from shards.refusal import Report, notes_of
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec


def load_encoder(
    spec: ShardSpec,
    checkpoint: Checkpoint,
    parts: PairSetup,
    *,
    engine: str,
    score: Callable[[CrossEncoder, Batch], list[float]],
    report: Report,
) -> tuple[CrossEncoder, Facts]:
    """Return an encoder in the number format that serves, and its facts.

    Args:
        spec: the shard.
        checkpoint: its checkpoint.
        parts: what is around its model.
        engine: the name of the engine.
        score: returns the margins of a batch by a model, on whatever device it is.
        report: takes the stages of the load.

    Raises:
        Refusal: it cannot be served.
    """
    device, device_warnings = devices.pick_device(spec)
    notes, noting = notes_of(report)
    dtype = devices.pick_dtype(spec, device, *checkpoint.sizes, noting)
    loaded, load_warnings = load_body_and_head(
        checkpoint, parts, dtype=format_of(dtype), device=device, report=report
    )
    family = family_for(loaded, parts.recipe)
    is_packed = family is not None
    settled = settled_in(
        dtype,
        loaded,
        parts.tokenizer,
        score,
        family=family,
        sizes=checkpoint.sizes,
        anyway=spec.int8_anyway,
        report=report,
    )
    if spec.dtype == "auto" and dtype == "bf16" and device == "cpu" and is_packed:
        notes.append(int8_note(checkpoint.sizes))
    notes += settled.notes
    if is_packed:
        dim = loaded.config.hidden_size // loaded.config.num_attention_heads
        notes += kernel_notes(device, settled.dtype, dim)
    facts = Facts(
        engine=engine,
        device=device,
        dtype=settled.dtype,
        max_length=parts.max_length,
        token_budget=devices.pick_token_budget(spec, device),
        packed=is_packed,
        notes=(*parts.recipe.notes, *checkpoint.notes, *notes),
        warnings=(
            *(*device_warnings, *load_warnings, *parts.doubts),
            *(*parts.warnings, *settled.warnings),
        ),
    )
    return settled.made, with_recipe(facts, checkpoint, parts)


def with_recipe(facts: Facts, checkpoint: Checkpoint, parts: PairSetup) -> Facts:
    """Return the facts with those of the checkpoint and its recipe."""
    recipe = parts.recipe
    return replace(
        facts,
        activation=recipe.activation,
        uses_instruction=recipe.takes_instruction,
        demonstration=checkpoint.demonstration,
        languages=checkpoint.languages,
        fingerprint=checkpoint.fingerprint,
        files=checkpoint.fingerprint,
        doubts=parts.doubts,
        markers=recipe.prompt.markers if recipe.prompt else (),
        labels=recipe.labels,
        onednn_products=onednn_products(facts.device, facts.dtype),
    )
