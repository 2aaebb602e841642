"""Cross-encoders: BERT, XLM-R, ModernBERT and every other encoder with a classification head.

What a batch goes through is in `cross_encoders`, what becomes of the logits in `labels`.
"""

from collections.abc import Callable

import torch

from shards import devices
from shards.checkpoint import expect_engine, load_model, open_checkpoint
from shards.encoder import PairEncoder
from shards.engines.around import around
from shards.engines.base import Facts
from shards.engines.cross_encoders import CrossEncoder, head_in_fp32
from shards.engines.encoder_formats import family_of, settled_in
from shards.engines.formats import said_of_int8, said_of_kernels
from shards.engines.later import later, runs_by_itself
from shards.engines.linears import FORMATS
from shards.engines.padding import warm_up_batches
from shards.pairs import Batch
from shards.refusal import Report, notes_of
from shards.wire.spec import ShardSpec

_WARM_TOKEN = 4  # no checkpoint pads with it


class ClassifierEngine:
    """An encoder with a classification head, on one device."""

    def __init__(
        self, model: CrossEncoder, weights: torch.Tensor, encoder: PairEncoder, facts: Facts
    ) -> None:
        self.facts = facts
        self.encoder = encoder
        self.runs_ahead = runs_by_itself(facts.device)
        self._model = model
        self._weights = weights

    def warm_up(self) -> None:
        """See `Engine`."""
        for batch in warm_up_batches(self.facts.max_length, token_id=_WARM_TOKEN):
            self.score(batch)

    @torch.inference_mode()
    def launch(self, batch: Batch) -> Callable[[], list[float]]:
        """See `RunsAhead`."""
        return later(self._model.logits(batch) @ self._weights)

    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        return self.launch(batch)()


def load(spec: ShardSpec, report: Report) -> ClassifierEngine:
    """Load a cross-encoder; see `shards.engines.base.Load`."""
    import transformers

    checkpoint = open_checkpoint(spec, report)
    expect_engine(checkpoint, "classifier")
    parts = around(spec, checkpoint)
    device, device_warnings = devices.pick_device(spec)
    notes, noting = notes_of(report)
    dtype = devices.pick_dtype(spec, device, *checkpoint.sizes, noting)
    loaded, load_warnings = load_model(
        transformers.AutoModelForSequenceClassification,
        checkpoint,
        vocabulary_size=parts.vocabulary_size,
        dtype=FORMATS[dtype],
        device=device,
        report=report,
    )
    head_in_fp32(loaded, checkpoint)
    is_packed = family_of(loaded.config) is not None
    weights = torch.tensor(parts.label_weights).to(device)
    settled = settled_in(
        dtype,
        loaded,
        parts.encoder,
        weights,
        sizes=checkpoint.sizes,
        anyway=spec.int8_anyway,
        report=report,
    )
    if spec.dtype == "auto" and dtype == "bf16" and device == "cpu" and is_packed:
        notes.append(said_of_int8(checkpoint.sizes))
    dim = loaded.config.hidden_size // loaded.config.num_attention_heads
    kernels = said_of_kernels(device, settled.dtype, dim) if is_packed else ()
    facts = Facts(
        engine="classifier",
        device=device,
        dtype=settled.dtype,
        max_length=parts.max_length,
        token_budget=devices.pick_token_budget(spec, device),
        packed=is_packed,
        activation=checkpoint.activation,
        demonstration=checkpoint.demonstration,
        languages=checkpoint.languages,
        fingerprint=checkpoint.fingerprint,
        notes=(*notes, *settled.notes, *kernels),
        warnings=device_warnings + load_warnings + parts.doubts + settled.warnings,
        doubts=parts.doubts,
    )
    return ClassifierEngine(settled.made, weights, parts.encoder, facts)
