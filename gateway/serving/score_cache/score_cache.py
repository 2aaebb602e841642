"""The score cache of the gateway: kept scores, scores on their way, and the counts of both."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from weakref import WeakKeyDictionary

from gateway.domain.request import SOURCES, RerankRequest, Scored, Source
from gateway.scheduling.model import Model
from gateway.serving.score_cache.build import build_of
from gateway.serving.score_cache.flights import Flights
from gateway.serving.score_cache.memory import ENTRY_BYTES, MemoryScores
from gateway.serving.score_cache.packed_score import pack, unpack
from gateway.serving.score_cache.pair_keys import KEY_BYTES, pair_keys, scoring_identity
from gateway.serving.score_cache.stores.chain import LateRead, StoreChain
from gateway.serving.score_cache.stores.claim_rule import Terms
from gateway.serving.score_cache.stores.claims import Claims
from gateway.serving.score_cache.stores.score_store import ScoreStore, StoreSource
from gateway.serving.score_cache.stores.sealed_score import Kept
from gateway.telemetry.score_cache_status import CachedModelStatus, ScoreCacheStatus
from shards.wire.facts import WHOLE, Facts


@dataclass(frozen=True, slots=True)
class CacheUse:
    """The use that a request makes of the cache.

    Attributes:
        reads: whether kept scores and scores on their way may answer it.
        keeps: whether its scores are kept, and may answer others.
    """

    reads: bool = True
    keeps: bool = True


READS_AND_KEEPS = CacheUse()
"""The use of a request that asks for nothing else."""

NO_USE = CacheUse(reads=False, keeps=False)
"""The use of a request that wants none."""


class Identity(NamedTuple):
    """The scoring identity of a model at a time.

    Attributes:
        revision: changes when kept scores must be forgotten: two revisions never share scores in
            memory, as not every model has a fingerprint, nor do the times before and after a failed
            canary, as scores may have been wrong for a while before it.
        value: changes also with the properties of the loaded model.
        stored: the same over restarts and on all hosts; empty for a model that has no scores in the
            stores, as nothing shows that its files are the same.
    """

    revision: bytes
    value: bytes
    stored: bytes = b""


NO_IDENTITY = Identity(b"", b"")
"""The identity of a model whose scores are not kept."""


@dataclass(slots=True)
class _Known:
    """The identity of a model, and what it was made from.

    Attributes:
        is_doubted: whether a canary has failed and the scores in the stores are not forgotten yet.
    """

    failed_canaries: int
    is_doubted: bool = False
    revision: bytes = field(default_factory=partial(secrets.token_bytes, 32))
    facts: Facts | None = None
    value: bytes = b""
    stored: bytes = b""


LateScores = asyncio.Task[Mapping[bytes, Scored]]
"""Scores of a store that come later than a request waits for them."""


class StoredScores(NamedTuple):
    """A read of the stores.

    Attributes:
        found: the scores that came in time, by key.
        elsewhere: the keys of the pairs that other gateways score now.
        late: the scores that come later, if there may be some.
    """

    found: Mapping[bytes, Scored]
    elsewhere: set[bytes]
    late: LateScores | None


class ScoreCache:
    """Scores by the key of their pair.

    Args:
        megabytes: the bound on their memory, in MiB; 0 to keep none.
        seconds: the age after which a score is forgotten.
        stores: the stores behind the memory.
        secret: the secret of the keys; a random one if `None`.
        claims: the claims in the store that gateways have in common, if there is one.

    Attributes:
        flights: the jobs that are being scored.
        counts: documents by model and source of their score.
        saved_tokens: tokens that were not computed, by model.
    """

    def __init__(
        self,
        megabytes: int,
        seconds: float,
        stores: Sequence[ScoreStore] = (),
        secret: bytes | None = None,
        claims: Claims | None = None,
    ) -> None:
        self.flights = Flights()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.saved_tokens: Counter[str] = Counter()
        self._megabytes, self._seconds = megabytes, seconds
        self._memory = MemoryScores(megabytes, seconds) if megabytes else None
        self._secret = secret or secrets.token_bytes(32)
        self._identities: WeakKeyDictionary[Model, _Known] = WeakKeyDictionary()
        self.stores = StoreChain(stores, seconds, self._forget_stored, claims)

    def serves(self, model: Model) -> bool:
        """Return whether a model has its scores kept and shared."""
        return self._memory is not None and model.spec.score_cache

    def identity(self, model: Model) -> Identity:
        """Return the scoring identity of a model; its value is empty before the model is loaded.

        While no replica is ready, it is that of the last one that was.
        """
        known, failed = self._identities.get(model), model.replicas.failed_canaries
        if known is None or known.failed_canaries != failed:
            known = self._renew(model, is_doubted=bool(failed))
        facts = model.replicas.facts
        if facts and known.facts is not facts:
            self._learn(model, known, facts)
        return Identity(known.revision, known.value, known.stored)

    def _renew(self, model: Model, *, is_doubted: bool) -> _Known:
        """Give a model another revision; in doubt its scores in the stores are forgotten, too."""
        before, failed = self._identities.get(model), model.replicas.failed_canaries
        known = self._identities[model] = _Known(failed, is_doubted)
        if is_doubted and before is not None and before.stored:
            self.stores.forget(before.stored)
        return known

    def _learn(self, model: Model, known: _Known, facts: Facts) -> None:
        known.facts = facts
        known.value = scoring_identity(model.spec, facts, known.revision)
        if self.stores and facts.fingerprint and facts.files.startswith(WHOLE):
            known.stored = scoring_identity(model.spec, facts, build_of(facts.device))
            if known.is_doubted:
                self.stores.forget(known.stored)
                known.is_doubted = False

    def _forget_stored(self, stored: bytes) -> None:
        """Forget in memory what another gateway has made invalid in a store."""
        for model, known in list(self._identities.items()):
            if known.stored == stored:
                self._renew(model, is_doubted=False)

    def keys(self, request: RerankRequest, model: Model, identity: Identity) -> Sequence[bytes]:
        """Return the key of each document's pair.

        Of a model whose scores are stored, it is its revision and the key in the stores.
        """
        reading = request.reading(model.spec.long_documents)
        if not identity.stored:
            return pair_keys(request, reading, identity.revision + identity.value, self._secret)
        start = identity.revision[:KEY_BYTES]
        keys = pair_keys(request, reading, identity.stored, self._secret)
        return [start + key for key in keys]

    def get(self, key: bytes) -> Scored | None:
        """Return the score of a pair, if it is kept in memory."""
        return None if self._memory is None else self._memory.get(key)

    async def read(
        self, identity: Identity, keys: Sequence[bytes], terms: Terms | None = None
    ) -> StoredScores:
        """Read scores from the stores, and keep them in memory; without terms none is claimed."""
        by_key = {key[-KEY_BYTES:]: key for key in keys}
        reading = await self.stores.read(identity.stored, list(by_key), terms)
        found: dict[bytes, Scored] = {}
        for source, scores in reading.found.items():
            found |= self._found(source, scores, by_key)
        late = asyncio.create_task(self._late(reading.late, by_key)) if reading.late else None
        return StoredScores(found, {by_key[key] for key in reading.elsewhere}, late)

    async def _late(
        self, reads: Mapping[StoreSource, LateRead], by_key: Mapping[bytes, bytes]
    ) -> Mapping[bytes, Scored]:
        found: dict[bytes, Scored] = {}
        for source, read in reads.items():
            found |= self._found(source, await read, by_key)
        return found

    async def wait(
        self, identity: Identity, keys: Collection[bytes], seconds: float
    ) -> dict[bytes, Scored]:
        """Return the scores that other gateways compute and that come in time, and keep them."""
        by_key = {key[-KEY_BYTES:]: key for key in keys}
        scores = await self.stores.wait(identity.stored, by_key, seconds)
        return self._found("shared", scores, by_key)

    def release(self, keys: Iterable[bytes]) -> None:
        """Give up the claims on pairs that this gateway does not score after all."""
        if self.stores.claims is not None:
            self.stores.claims.release([key[-KEY_BYTES:] for key in keys])

    def _found(
        self, source: Source, scores: Mapping[bytes, Kept], by_key: Mapping[bytes, bytes]
    ) -> dict[bytes, Scored]:
        """Unpack scores that were in a store, and keep them in memory while they are valid."""
        if self._memory is not None:
            for key, kept in scores.items():
                self._memory.put(by_key[key], kept.packed, self.stores.seconds_left(kept))
        return {by_key[key]: unpack(kept.packed, source) for key, kept in scores.items()}

    def put(self, identity: Identity, scores: Iterable[tuple[bytes, Scored]]) -> None:
        """Keep the scores of pairs, by their key."""
        packed = {key: pack(score) for key, score in scores}
        if self._memory is not None:
            for key, score in packed.items():
                self._memory.put(key, score)
        if identity.stored:
            self.stores.write(
                identity.stored, {key[-KEY_BYTES:]: score for key, score in packed.items()}
            )

    async def run(self, models: Callable[[], Iterable[Model]]) -> None:
        """Run the stores until cancelled, then close them.

        Args:
            models: returns the models that are served. A canary of theirs may fail while no request
                comes, so their identities are looked at all the time.
        """

        def stored() -> set[bytes]:
            found = {self.identity(model).stored for model in models() if self.serves(model)}
            return found - {b""}

        await self.stores.run(stored)

    def count(self, model: str, sources: Mapping[Source, int], saved_tokens: int) -> None:
        """Count the documents of a result by the source of their score."""
        self.counts.update({(model, source): number for source, number in sources.items()})
        self.saved_tokens[model] += saved_tokens

    def clear(self, model: Model | None = None) -> None:
        """Forget the kept scores of a model; of all if `None`. Stores forget them, too."""
        for known in list(self._identities) if model is None else [model]:
            self.identity(known)
            self._renew(known, is_doubted=True)
        if model is None and self._memory is not None:
            self._memory.clear()

    @property
    def entries(self) -> int:
        """The number of kept scores."""
        return 0 if self._memory is None else self._memory.entries

    def status(self, models: Iterable[Model]) -> ScoreCacheStatus:
        """Return a snapshot."""
        entries = self.entries
        return ScoreCacheStatus(
            entries=entries,
            bytes=entries * ENTRY_BYTES,
            max_bytes=self._megabytes * 1024**2,
            seconds=self._seconds,
            models=tuple(self._status(model) for model in models if self.serves(model)),
            stores=self.stores.status(),
        )

    def _status(self, model: Model) -> CachedModelStatus:
        name = model.spec.name
        counts = {source: self.counts[name, source] for source in SOURCES}
        documents = sum(counts.values())
        return CachedModelStatus(
            model=name,
            **counts,
            hit_rate=round(1 - counts["computed"] / documents, 4) if documents else 0.0,
            saved_tokens=self.saved_tokens[name],
            saved_seconds=round(model.seconds_of(self.saved_tokens[name]), 3),
        )
