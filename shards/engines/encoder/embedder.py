"""Bi-encoders: a vector for a query, a vector for a document, and the cosine of the two.

Texts go through the forward passes of cross-encoders, one text where these have a pair. A text that
was encoded before is not encoded again: see `VectorCache`. A text alone, which has a slot for its
vector, gets it as the model's modules make it; its margin is that with itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch.nn import functional

from shards.checkpoint import open_checkpoint
from shards.cost import Work
from shards.engines.base import Tokenizer
from shards.engines.encoder.cross_encoder import CrossEncoder
from shards.engines.encoder.loading import load_encoder
from shards.engines.encoder.setup import pair_setup
from shards.engines.encoder.vector_cache import VectorCache, text_key
from shards.engines.layers.padding import warm_up_batches
from shards.pairs import Batch, TokenizedPair, side_texts
from shards.recipe import Similarity
from shards.refusal import Report
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec

_WARM_TOKEN = 4  # no checkpoint pads with it


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of a batch, each once.

    Attributes:
        texts: the texts, as pairs of one side.
        keys: their keys.
        sides: for each pair the places of its query and its document in `texts`; of a text alone
            twice its own.
    """

    texts: Sequence[TokenizedPair]
    keys: Sequence[bytes]
    sides: Sequence[tuple[int, int]]


def _texts_of(batch: Batch) -> _Texts:
    places: dict[bytes, int] = {}
    texts: list[TokenizedPair] = []
    sides = []
    for pair in batch:
        found = []
        for text in side_texts(pair):
            place = places.setdefault(text_key(text.token_ids), len(texts))
            if place == len(texts):
                texts.append(text)
            found.append(place)
        sides.append((found[0], found[-1]))
    return _Texts(texts, list(places), sides)


class EmbedderEngine:
    """A bi-encoder on one device."""

    def __init__(
        self,
        model: CrossEncoder,
        similarity: Similarity,
        tokenizer: Tokenizer,
        facts: Facts,
        vectors: VectorCache,
    ) -> None:
        self.facts = facts
        self.tokenizer = tokenizer
        self.last_work = Work([], [])
        self._model = model
        self._similarity = similarity
        self._vectors = vectors

    @torch.inference_mode()
    def warm_up(self) -> None:
        """See `Engine`."""
        for texts in warm_up_batches(self.facts.max_length, token_id=_WARM_TOKEN):
            self._model.logits(texts)

    @torch.inference_mode()
    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        return self._score(batch, self._vectors)

    @torch.inference_mode()
    def score_afresh(self, batch: Batch) -> list[float]:
        """See `KeepsVectors`."""
        return self._score(batch, VectorCache(0))

    def _score(self, batch: Batch, cache: VectorCache) -> list[float]:
        found = _texts_of(batch)
        vectors, new = self._encoded(found, cache)
        self.last_work = _work(batch, found, new)
        _fill_slots(batch, vectors, found.sides)
        return _margins(vectors, found.sides, self._similarity)

    def _encoded(self, found: _Texts, cache: VectorCache) -> tuple[torch.Tensor, list[int]]:
        """Return the vector of each text, and the places of those that were computed."""
        known, new = cache.read(found.keys)
        if not new:
            return known, new
        computed = self._model.logits([found.texts[place] for place in new])
        cache.keep([found.keys[place] for place in new], computed)
        if not len(known):
            return computed, new
        vectors = computed.new_empty(len(found.texts), computed.shape[1])
        vectors[new] = computed
        unknown = set(new)
        vectors[[place for place in range(len(vectors)) if place not in unknown]] = known
        return vectors, new


def _fill_slots(batch: Batch, vectors: torch.Tensor, sides: Sequence[tuple[int, int]]) -> None:
    """Put the vectors of texts alone into their slots."""
    asked = [(pair.slot, place) for pair, (place, _) in zip(batch, sides, strict=True) if pair.slot]
    if not asked:
        return
    on_cpu = vectors.float().cpu()
    for slot, place in asked:
        vector = on_cpu[place, : slot.dimensions or None]
        slot.data = (
            (functional.normalize(vector, dim=0) if slot.is_unit else vector).numpy().tobytes()
        )


def _margins(
    vectors: torch.Tensor, sides: Sequence[tuple[int, int]], similarity: Similarity
) -> list[float]:
    vectors = functional.normalize(vectors, dim=-1)
    queries, documents = map(list, zip(*sides, strict=True))
    cosines = (vectors[queries] * vectors[documents]).sum(1)
    margins: list[float] = (similarity.scale * (cosines - similarity.middle)).tolist()
    return margins


def _work(batch: Batch, found: _Texts, new: Sequence[int]) -> Work:
    """Return the cost of a batch; each text that was computed counts for its first pair."""
    left = set(new)
    computed = []
    for sides in found.sides:
        computed.append(sum(len(found.texts[side]) for side in left.intersection(sides)))
        left.difference_update(sides)
    if not any(computed):
        computed[0] = 1  # reading vectors is work as well, and no time is learnt without tokens
    saved = [max(0, len(pair) - tokens) for pair, tokens in zip(batch, computed, strict=True)]
    return Work(computed, saved)


def load(spec: ShardSpec, report: Report) -> EmbedderEngine:
    """Load a bi-encoder; see `shards.engines.base.Load`."""
    checkpoint = open_checkpoint(spec, report)
    parts = pair_setup(spec, checkpoint, "embedder")
    similarity = parts.recipe.similarity
    assert similarity is not None
    model, facts = load_encoder(
        spec,
        checkpoint,
        parts,
        engine="embedder",
        score=partial(_scored, similarity=similarity),
        report=report,
    )
    facts = replace(
        facts,
        vector_width=_width(model),
        vector_sizes=similarity.sizes,
        any_vector_size=similarity.any_size,
    )
    vectors = VectorCache(spec.vector_cache_mb)
    return EmbedderEngine(model, similarity, parts.tokenizer, facts, vectors)


@torch.inference_mode()
def _width(model: CrossEncoder) -> int:
    return int(model.logits([TokenizedPair([_WARM_TOKEN], 1, False)]).shape[1])


def _scored(model: CrossEncoder, batch: Batch, similarity: Similarity) -> list[float]:
    found = _texts_of(batch)
    return _margins(model.logits(found.texts), found.sides, similarity)
