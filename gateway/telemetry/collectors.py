"""Metrics of present states: read from the status of the fleet at each scrape."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from gateway import __version__
from gateway.domain.request import SOURCES
from gateway.telemetry.model_agreement import Agreement
from gateway.telemetry.score_cache_status import (
    CLAIM_RESULTS,
    STORE_RESULTS,
    ScoreCacheStatus,
    ScoreStoreStatus,
)
from gateway.telemetry.status import (
    ModelStatus,
    ShadowStatus,
    ShardStatus,
)

_MODEL = ("model",)
_SHARD = ("model", "shard")
_QUANTILES = ("0.1", "0.5", "0.9")

_MODEL_GAUGES: dict[str, tuple[str, Callable[[ModelStatus], float]]] = {
    "reranker_model_up": (
        "1 if at least one shard of the model can score, or the model is idle and can be loaded.",
        lambda model: model.state == "idle" or any(s.state == "ready" for s in model.shards),
    ),
    "reranker_model_idle": ("1 if the model is not loaded.", lambda model: model.state == "idle"),
    "reranker_model_load_seconds": (
        "Time of the last load until its first shard was ready; 0 if unknown.",
        lambda model: model.load_seconds,
    ),
    "reranker_model_refused_pairs": (
        "Pairs that are refused because they end shards.",
        lambda model: model.refused_pairs,
    ),
    "reranker_model_confined_keys": (
        "Keys whose documents are scored alone because several of them ended shards.",
        lambda model: len(model.confined_keys),
    ),
    "reranker_truncated_share": (
        "Share of truncated documents in all since the start.",
        lambda model: model.scores.truncated_share,
    ),
    "reranker_score_drift": (
        "Distance of the median of the last 1000 margins from the one before, in quartile spreads.",
        lambda model: model.scores.drift,
    ),
    "reranker_model_queue_jobs": ("Jobs waiting in the gateway.", lambda model: model.queue),
}
_MODEL_COUNTERS: dict[str, tuple[str, Callable[[ModelStatus], float]]] = {
    "reranker_model_loads": ("Loads of the model, restarts left out.", lambda model: model.loads),
    "reranker_model_cold_requests": (
        "Requests that had to wait for a load.",
        lambda model: model.cold_requests,
    ),
    "reranker_model_cold_seconds": (
        "Time that requests have waited for a load.",
        lambda model: model.cold_seconds,
    ),
}
_SHARD_GAUGES: dict[str, tuple[str, Callable[[ShardStatus], float]]] = {
    "reranker_shard_up": ("1 if the shard is ready.", lambda shard: shard.state == "ready"),
    "reranker_shard_queue_jobs": ("Jobs inside the shard.", lambda shard: shard.queue),
    "reranker_shard_outstanding_tokens": (
        "Estimated tokens inside the shard.",
        lambda shard: shard.outstanding_tokens,
    ),
    "reranker_shard_memory_bytes": ("Resident memory.", lambda shard: shard.memory_bytes),
    "reranker_shard_generation": ("Starts, counting from 1.", lambda shard: shard.generation),
    "reranker_shard_share": ("Share of the work it may take.", lambda shard: shard.share),
    "reranker_shard_ejected": (
        "1 if it gets no jobs because it errs.",
        lambda shard: shard.trust == "ejected",
    ),
    "reranker_shard_demoted": (
        "1 if it has left its GPU for the CPU.",
        lambda shard: shard.demoted,
    ),
}
_SHARD_COUNTERS: dict[str, tuple[str, Callable[[ShardStatus], float]]] = {
    "reranker_shard_restarts": ("Restarts of the shard.", lambda shard: shard.restarts),
    "reranker_shard_errors": (
        "Jobs that it could not score and another shard could.",
        lambda shard: shard.errors,
    ),
    "reranker_shard_ejections": (
        "Times that it got no jobs for a while because it erred.",
        lambda shard: shard.ejections,
    ),
    "reranker_shard_recycles": (
        "Replacements because it had grown too large.",
        lambda shard: shard.recycles,
    ),
    "reranker_shard_oom_kills": (
        "Kills by the kernel because memory ran out.",
        lambda shard: shard.oom_kills,
    ),
    "reranker_wasted_tokens": (
        "Tokens computed for clients that had gone, padding included.",
        lambda shard: shard.wasted_tokens,
    ),
}


class StatusCollector:
    """A collector that reads the fleet's status at each scrape."""

    def __init__(self, status: Callable[[], Sequence[ModelStatus]]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        return []  # otherwise the registry would read the status before there is one

    def collect(self) -> Iterator[Metric]:
        models = self._status()
        yield InfoMetricFamily("reranker_build", "The version that runs.", {"version": __version__})
        yield from _model_gauges(models)
        yield from _model_counters(models)
        yield _score_quantiles(models)
        yield from _shard_gauges(models)
        yield from _shard_counters(models)
        yield _canaries(models)
        yield from _states(models)


_SHADOW_GAUGES: dict[str, tuple[str, Callable[[Agreement], float | None]]] = {
    "reranker_shadow_kendall_tau": (
        "Mean of Kendall's tau-b of model and shadow, over the last 1000 requests compared.",
        lambda agreement: agreement.tau,
    ),
    "reranker_shadow_top1_share": (
        "Share of these with the same best document.",
        lambda agreement: agreement.top1,
    ),
    "reranker_shadow_overlap_at_10": (
        "Share of the ten best documents that are the same, of requests with more than ten.",
        lambda agreement: agreement.overlap,
    ),
    "reranker_shadow_latency_ratio": (
        "How many times as long the shadow computes.",
        lambda agreement: agreement.latency_ratio,
    ),
}


class ShadowCollector:
    """A collector of the agreement of models and shadows; none where none was measured."""

    def __init__(self, status: Callable[[], Sequence[ShadowStatus]]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        shadows = self._status()
        for name, (text, read) in _SHADOW_GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=("model", "shadow"))
            for shadow in shadows:
                if (value := read(shadow.agreement)) is not None:
                    gauge.add_metric((shadow.model, shadow.shadow), value)
            yield gauge


_STORE = ("store",)


class ScoreCacheCollector:
    """A collector of the score cache; of zeros while it is off."""

    def __init__(self, status: Callable[[], ScoreCacheStatus]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield GaugeMetricFamily("reranker_score_cache_entries", "Kept scores.", status.entries)
        yield GaugeMetricFamily(
            "reranker_score_cache_bytes", "Memory of the kept scores, at most.", status.bytes
        )
        documents = CounterMetricFamily(
            "reranker_score_cache_documents",
            "Documents by the source of their score.",
            labels=("model", "source"),
        )
        saved = CounterMetricFamily(
            "reranker_score_cache_saved_tokens",
            "Tokens that were not computed, as a score was kept, shared or repeated.",
            labels=_MODEL,
        )
        for model in status.models:
            for source in SOURCES:
                documents.add_metric((model.model, source), getattr(model, source))
            saved.add_metric((model.model,), model.saved_tokens)
        yield documents
        yield saved
        yield from _stores(status.stores)


def _stores(stores: Sequence[ScoreStoreStatus]) -> Iterator[Metric]:
    """Yield the state and the use of the stores behind the score cache."""
    up = GaugeMetricFamily(
        "reranker_score_store_up", "Whether a store of scores works: 1 or 0.", labels=_STORE
    )
    size = GaugeMetricFamily(
        "reranker_score_store_bytes", "Size of a store of scores on disk.", labels=_STORE
    )
    scores = CounterMetricFamily(
        "reranker_score_store_scores",
        "Scores that a store had or got, by result.",
        labels=(*_STORE, "result"),
    )
    claims = CounterMetricFamily(
        "reranker_score_claims",
        "Pairs that gateways with a store in common claimed, by result.",
        labels=("result",),
    )
    for store in stores:
        up.add_metric((store.source,), store.state == "ok")
        if store.bytes is not None:
            size.add_metric((store.source,), store.bytes)
        for result in STORE_RESULTS:
            scores.add_metric((store.source, result), getattr(store, result))
        for result in CLAIM_RESULTS if store.claims else ():
            claims.add_metric((result,), getattr(store.claims, result))
    yield from (up, size, scores, claims)


def _model_gauges(models: Sequence[ModelStatus]) -> Iterator[Metric]:
    for name, (text, read) in _MODEL_GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=_MODEL)
        for model in models:
            gauge.add_metric((model.name,), float(read(model)))
        yield gauge


def _model_counters(models: Sequence[ModelStatus]) -> Iterator[Metric]:
    for name, (text, read) in _MODEL_COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=_MODEL)
        for model in models:
            counter.add_metric((model.name,), float(read(model)))
        yield counter


def _score_quantiles(models: Sequence[ModelStatus]) -> Metric:
    gauge = GaugeMetricFamily(
        "reranker_score_quantile",
        "Relevance scores of the last 1000 documents.",
        labels=("model", "quantile"),
    )
    for model in models:
        for quantile, score in zip(_QUANTILES, _quantiles_of(model), strict=True):
            gauge.add_metric((model.name, quantile), score)
    return gauge


def _quantiles_of(model: ModelStatus) -> tuple[float, ...]:
    return model.scores.p10, model.scores.p50, model.scores.p90


def _shard_gauges(models: Sequence[ModelStatus]) -> Iterator[Metric]:
    for name, (text, read) in _SHARD_GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=_SHARD)
        for model in models:
            for shard in model.shards:
                gauge.add_metric((model.name, shard.name), float(read(shard)))
        yield gauge


def _shard_counters(models: Sequence[ModelStatus]) -> Iterator[Metric]:
    for name, (text, read) in _SHARD_COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=_SHARD)
        for model in models:
            for shard in model.shards:
                counter.add_metric((model.name, shard.name), float(read(shard)))
        yield counter


def _canaries(models: Sequence[ModelStatus]) -> Metric:
    canaries = CounterMetricFamily(
        "reranker_canaries",
        "Rounds of known pairs that the shard has scored for itself, by whether they passed.",
        labels=(*_SHARD, "passed"),
    )
    for model in models:
        for shard in model.shards:
            if canary := shard.canary:
                passed = canary.rounds - canary.failures
                canaries.add_metric((model.name, shard.name, "true"), passed)
                canaries.add_metric((model.name, shard.name, "false"), canary.failures)
    return canaries


def _states(models: Sequence[ModelStatus]) -> Iterator[Metric]:
    """Yield a series per shard with its present state, and the shards of a model by state."""
    state = GaugeMetricFamily(
        "reranker_shard_state", "1 for the present state.", labels=(*_SHARD, "state")
    )
    number = GaugeMetricFamily("reranker_shards", "Shards by state.", labels=("model", "state"))
    for model in models:
        for shard in model.shards:
            state.add_metric((model.name, shard.name, shard.state), 1.0)
        for name, count in Counter(shard.state for shard in model.shards).items():
            number.add_metric((model.name, name), float(count))
    yield state
    yield number
