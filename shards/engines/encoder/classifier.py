"""Cross-encoders: BERT, XLM-R, ModernBERT and every other encoder with a classification head.

What a batch goes through is in `cross_encoders`, what becomes of the logits in `labels`.
"""

from collections.abc import Callable
from functools import partial

import torch

from shards.checkpoint import open_checkpoint
from shards.engines.base import Tokenizer
from shards.engines.encoder.cross_encoder import CrossEncoder
from shards.engines.encoder.loading import load_encoder
from shards.engines.encoder.setup import pair_setup
from shards.engines.layers.async_copy import is_asynchronous, read_later
from shards.engines.layers.padding import warm_up_batches
from shards.pairs import Batch
from shards.refusal import Report
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec

_WARM_TOKEN = 4  # no checkpoint pads with it


class ClassifierEngine:
    """An encoder with a classification head, on one device."""

    def __init__(
        self, model: CrossEncoder, weights: torch.Tensor, tokenizer: Tokenizer, facts: Facts
    ) -> None:
        self.facts = facts
        self.tokenizer = tokenizer
        self.runs_ahead = is_asynchronous(facts.device)
        self._model = model
        self._weights = weights

    def warm_up(self) -> None:
        """See `Engine`."""
        for batch in warm_up_batches(self.facts.max_length, token_id=_WARM_TOKEN):
            self.score(batch)

    @torch.inference_mode()
    def launch(self, batch: Batch) -> Callable[[], list[float]]:
        """See `RunsAhead`."""
        return read_later(self._model.logits(batch) @ self._weights)

    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        return self.launch(batch)()


def load(spec: ShardSpec, report: Report) -> ClassifierEngine:
    """Load a cross-encoder; see `shards.engines.base.Load`."""
    checkpoint = open_checkpoint(spec, report)
    parts = pair_setup(spec, checkpoint)
    weights = torch.tensor(parts.label_weights)
    model, facts = load_encoder(
        spec,
        checkpoint,
        parts,
        engine="classifier",
        score=partial(_scored, weights=weights),
        report=report,
    )
    return ClassifierEngine(model, weights.to(facts.device), parts.tokenizer, facts)


def _scored(model: CrossEncoder, batch: Batch, weights: torch.Tensor) -> list[float]:
    logits = model.logits(batch)
    return read_later(logits @ weights.to(logits.device))()
