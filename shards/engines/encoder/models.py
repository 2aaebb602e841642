"""The model of a cross-encoder's recipe: a class of transformers, modules, or a layout."""

from typing import Any

import torch

from shards.checkpoint import Checkpoint, load_model
from shards.engines.encoder.cross_encoder import head_in_fp32
from shards.engines.encoder.formats import family_for
from shards.engines.encoder.plain_bert import plain_bert
from shards.engines.encoder.pooled import HeadedBody, head_of
from shards.engines.encoder.setup import PairSetup
from shards.recipe import TRANSFORMERS
from shards.refusal import Refusal, Report


def load_body_and_head(
    checkpoint: Checkpoint, parts: PairSetup, *, dtype: torch.dtype, device: str, report: Report
) -> tuple[Any, tuple[str, ...]]:
    """Return a model as its recipe has it, with a head in fp32, and warnings.

    Raises:
        Refusal: a tensor is missing or has another shape.
    """
    recipe = parts.recipe
    if recipe.layout != TRANSFORMERS:
        from shards.engines.encoder.layouts import load_layout

        model, warnings = load_layout(
            recipe.layout, checkpoint, dtype=dtype, device=device, report=report
        )
        _expect_rows(checkpoint, model, parts.vocabulary_size)
    elif body := _plain_body(checkpoint, parts, dtype, device, report):
        model, warnings = body, ()
    else:
        model, warnings = _through_transformers(checkpoint, parts, dtype, device, report)
    if recipe.pooling != "own":
        return HeadedBody(model, recipe.pooling, head_of(recipe, checkpoint, device)), warnings
    head_in_fp32(model, checkpoint)
    return model, warnings


def _plain_body(
    checkpoint: Checkpoint, parts: PairSetup, dtype: torch.dtype, device: str, report: Report
) -> Any:
    """Return a body that `bert` computes, read without transformers; `None` for others."""
    if parts.recipe.pooling == "own":
        return None
    report("loading weights")
    body = plain_bert(checkpoint, dtype=dtype, device=device, vocabulary_size=parts.vocabulary_size)
    return body if body is not None and family_for(body, parts.recipe) else None


def _through_transformers(
    checkpoint: Checkpoint, parts: PairSetup, dtype: torch.dtype, device: str, report: Report
) -> tuple[Any, tuple[str, ...]]:
    import transformers

    is_body = parts.recipe.pooling != "own"
    auto: Any = (
        transformers.AutoModel if is_body else transformers.AutoModelForSequenceClassification
    )
    return load_model(
        auto,
        checkpoint,
        vocabulary_size=parts.vocabulary_size,
        dtype=dtype,
        device=device,
        report=report,
        may_lack="pooler." if is_body else "",
    )


def _expect_rows(checkpoint: Checkpoint, model: Any, vocabulary_size: int) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if vocabulary_size > rows:
        raise Refusal(
            f"{checkpoint.name}: the tokenizer has {vocabulary_size} tokens, the model {rows}; "
            "they do not belong together"
        )
