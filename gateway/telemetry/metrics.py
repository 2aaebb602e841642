"""Every metric of the gateway, in one place; served at `/metrics`.

Events are counted as they happen, by the methods of `Metrics`. Present states (shards, queues) are
read from the fleet at each scrape (`collectors`), so that they cannot be out of date. Label values
are names from the configuration, dialects and status codes, never text from a client: the number of
time series is bounded. Each `Metrics` has its own registry, so a process may hold several gateways.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from gateway.telemetry.collectors import ScoreCacheCollector, ShadowCollector, StatusCollector
from gateway.telemetry.memory_collector import MemoryCollector
from gateway.telemetry.memory_status import PoolStatus
from gateway.telemetry.score_cache_status import ScoreCacheStatus
from gateway.telemetry.status import ModelStatus, ShadowStatus
from shards.wire.messages import Scores

UNKNOWN_MODEL = "unknown"
"""The label of requests that name no configured model."""

_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
)  # fmt: skip
_DOCUMENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
_TOKENS = (64, 256, 1024, 4096, 16_384, 65_536, 262_144)
_SCORES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
_MODEL = ("model",)
_SHARD = ("model", "shard")


class Metrics:
    """The gateway's counters and histograms, and the gauges made from a fleet's status."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._declare_requests()
        self._declare_jobs()
        self._declare_keys()
        self._declare_tokens()

    def _declare_requests(self) -> None:
        self._requests = self._counter(
            "reranker_requests", "Rerank requests answered.", ("model", "dialect", "code")
        )
        self._request_seconds = self._histogram(
            "reranker_request_duration_seconds",
            "From the first byte of a rerank request to the last of its answer.",
            ("model", "dialect"),
            _SECONDS,
        )
        self._connections_refused = self._counter(
            "reranker_connections_refused",
            "Connections that were closed before a request of theirs was complete, by reason.",
            ("reason",),
        )

        self._dealt = self._counter(
            "reranker_split_requests", "Requests dealt out by a split.", ("split", "model")
        )
        self._cascaded = self._counter(
            "reranker_cascade_documents",
            "Documents of a cascade by the model that scored them last.",
            ("cascade", "model"),
        )
        self._fell_back = self._counter(
            "reranker_fallbacks",
            "Requests of a model that a fallback of it answered.",
            ("model", "fallback"),
        )
        self._shadowed = self._counter(
            "reranker_shadow_requests",
            "Requests drawn to be scored by a shadow as well, by outcome.",
            ("model", "shadow", "outcome"),
        )
        self._reloads = self._counter("reranker_reloads", "Reloads, by success.", ("ok",))

    def _declare_tokens(self) -> None:
        self._documents = self._counter("reranker_documents", "Documents scored.", _SHARD)
        self._tokens = self._counter("reranker_tokens", "Tokens scored, padding left out.", _SHARD)
        self._padding = self._counter(
            "reranker_padding_tokens", "Tokens of padding computed beside them.", _SHARD
        )
        self._saved = self._counter(
            "reranker_saved_tokens",
            "Tokens that were not computed, because pairs share them or they were kept.",
            _SHARD,
        )
        self._prefix_hits = self._counter(
            "reranker_prefix_hits", "Parts of prefixes that a batch found kept.", _MODEL
        )
        self._prefix_misses = self._counter(
            "reranker_prefix_misses", "Parts of prefixes that a batch had to compute.", _MODEL
        )
        share = Gauge(
            "reranker_padding_share",
            "Share of padding in all tokens computed since the start.",
            _MODEL,
            registry=self.registry,
        )
        self._padding_share = _Series(share)
        self._useful: Counts[str] = Counts()
        self._wasted: Counts[str] = Counts()

    def _declare_jobs(self) -> None:
        self._queue_seconds = self._histogram(
            "reranker_queue_seconds",
            "Wait of a job, in the gateway's queue and in its shard.",
            _MODEL,
            _SECONDS,
        )
        self._compute_seconds = self._histogram(
            "reranker_compute_seconds", "A job's share of its batches.", _MODEL, _SECONDS
        )
        self._batch_seconds = self._histogram(
            "reranker_batch_seconds", "Computing time of a batch.", _MODEL, _SECONDS
        )
        self._batch_pairs = self._histogram(
            "reranker_batch_pairs", "Pairs of one batch.", _MODEL, _DOCUMENTS
        )
        self._batch_tokens = self._histogram(
            "reranker_batch_tokens", "Tokens of one batch, padding included.", _MODEL, _TOKENS
        )
        self._job_documents = self._histogram(
            "reranker_job_documents", "Documents of one job.", _MODEL, _DOCUMENTS
        )
        self._job_tokens = self._histogram(
            "reranker_job_tokens", "Tokens of one job, padding left out.", _MODEL, _TOKENS
        )
        self._declare_results()

    def _declare_results(self) -> None:
        self._truncated = self._counter(
            "reranker_truncated_documents", "Documents cut to the model's limit.", _MODEL
        )
        self._cleaned = self._counter(
            "reranker_cleaned_texts", "Texts cleaned before they were scored.", _MODEL
        )
        self._passages = self._counter(
            "reranker_passages", "Passages of long documents scored.", _MODEL
        )
        self._relevance = self._histogram(
            "reranker_relevance_score", "Relevance scores of documents.", _MODEL, _SCORES
        )
        self._tied = self._counter(
            "reranker_tied_documents",
            "Documents with exactly the score of another one in the same request.",
            _MODEL,
        )
        self._retried = self._counter(
            "reranker_jobs_retried",
            "Jobs scored again, because their shard was lost or could not score them.",
            _MODEL,
        )
        self._retries_refused = self._counter(
            "reranker_retries_refused",
            "Jobs that were not scored again after a loss, because too many were.",
            _MODEL,
        )
        self._cancelled = self._counter(
            "reranker_jobs_cancelled", "Jobs whose client went away or ran out of time.", _MODEL
        )

    def _declare_keys(self) -> None:
        self._keys_refused = self._counter(
            "reranker_keys_refused", "Requests without a valid key, by error code.", ("reason",)
        )
        self._key_requests = self._counter(
            "reranker_key_requests", "Rerank requests answered, by key.", ("key", "code")
        )
        self._key_documents = self._counter(
            "reranker_key_documents", "Documents scored, by key.", ("key",)
        )
        self._key_tokens = self._counter(
            "reranker_key_tokens", "Tokens scored, padding left out, by key.", ("key",)
        )

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> "_Series":
        return _Series(Counter(name, text, labels, registry=self.registry))

    def _histogram(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> "_Series":
        return _Series(Histogram(name, text, labels, registry=self.registry, buckets=buckets))

    def watch(self, status: Callable[[], Sequence[ModelStatus]]) -> None:
        """Read the state of models and shards at each scrape."""
        self.registry.register(StatusCollector(status))

    def watch_memory(
        self,
        pools: Callable[[], Sequence[PoolStatus]],
        models: Callable[[], Sequence[ModelStatus]],
    ) -> None:
        """Read the memory budget, and what models did for it, at each scrape."""
        self.registry.register(MemoryCollector(pools, models))

    def watch_shadows(self, status: Callable[[], Sequence[ShadowStatus]]) -> None:
        """Read the agreement of models and their shadows at each scrape."""
        self.registry.register(ShadowCollector(status))

    def watch_score_cache(self, status: Callable[[], ScoreCacheStatus]) -> None:
        """Read the score cache at each scrape."""
        self.registry.register(ScoreCacheCollector(status))

    def request_finished(self, model: str, dialect: str, code: int, seconds: float) -> None:
        """Count one rerank request; `model` is a public name or `UNKNOWN_MODEL`."""
        self._requests[model, dialect, str(code)].inc()
        self._request_seconds[model, dialect].observe(seconds)

    def request_dealt(self, split: str, model: str) -> None:
        """Count one rerank request that a split routed to a model."""
        self._dealt[split, model].inc()

    def cascaded(self, cascade: str, model: str, documents: int) -> None:
        """Count documents of a cascade by the model that scored them last."""
        self._cascaded[cascade, model].inc(documents)

    def fell_back(self, model: str, fallback: str) -> None:
        """Count one request of a model that a fallback answered."""
        self._fell_back[model, fallback].inc()

    def shadow_finished(self, model: str, shadow: str, outcome: str) -> None:
        """Count a request drawn for a shadow: `compared`, `dropped` or `failed`."""
        self._shadowed[model, shadow, outcome].inc()

    def connection_refused(self, reason: str) -> None:
        """Count a connection that was refused or cut; `reason` is one of a few fixed words."""
        self._connections_refused[reason].inc()

    def key_refused(self, reason: str) -> None:
        """Count a request whose key is missing or invalid; `reason` is an error code."""
        self._keys_refused[reason].inc()

    def key_finished(self, key: str, code: int, *, documents: int, tokens: int) -> None:
        """Count one rerank request of a key, by the key's id."""
        self._key_requests[key, str(code)].inc()
        self._key_documents[key].inc(documents)
        self._key_tokens[key].inc(tokens)

    def reloaded(self, *, ok: bool) -> None:
        """Count a reload."""
        self._reloads[str(ok).lower()].inc()

    def job_answered(
        self, model: str, shard: str, scores: Scores, *, queued_seconds: float
    ) -> None:
        """Count a job that a shard has answered, and the batches that its answer reports.

        Args:
            model: the public name of the model.
            shard: the name of the shard.
            scores: the answer.
            queued_seconds: the time of the job in the gateway's queue.
        """
        documents, tokens = len(scores.margins), sum(scores.tokens)
        self._queue_seconds[model].observe(queued_seconds + scores.queue_ns / 1e9)
        self._compute_seconds[model].observe(scores.compute_ns / 1e9)
        self._job_documents[model].observe(documents)
        self._job_tokens[model].observe(tokens)
        self._documents[model, shard].inc(documents)
        self._tokens[model, shard].inc(tokens)
        _count(self._truncated[model], len(scores.truncated))
        _count(self._passages[model], sum(count for count in scores.passages if count > 1))
        self._add_computed(model, shard, scores, tokens)

    def _add_computed(self, model: str, shard: str, scores: Scores, tokens: int) -> None:
        """Count the work that the device did and saved."""
        useful = tokens - scores.saved_tokens
        padding = scores.computed_tokens - useful
        _count(self._padding[model, shard], padding)
        _count(self._saved[model, shard], scores.saved_tokens)
        self._useful[model] += useful
        self._wasted[model] += padding
        computed = self._useful[model] + self._wasted[model]
        self._padding_share[model].set(self._wasted[model] / max(1, computed))
        for pairs, batch_tokens, micros in scores.batches:
            self._batch_seconds[model].observe(micros / 1e6)
            self._batch_pairs[model].observe(pairs)
            self._batch_tokens[model].observe(batch_tokens)
        _count(self._prefix_hits[model], scores.prefix_hits)
        _count(self._prefix_misses[model], scores.prefix_misses)

    def result_given(self, model: str, scores: Iterable[float], *, tied: int) -> None:
        """Count the relevance scores of one request; `tied` documents share theirs."""
        histogram = self._relevance[model]
        for score in scores:
            histogram.observe(score)
        _count(self._tied[model], tied)

    def texts_cleaned(self, model: str, texts: int) -> None:
        """Count texts that were cleaned before they were scored."""
        _count(self._cleaned[model], texts)

    def job_retried(self, model: str) -> None:
        """Count a job that goes to another shard because its own was lost or could not score it."""
        self._retried[model].inc()

    def retry_refused(self, model: str) -> None:
        """Count a job that the retry budget kept from being scored again."""
        self._retries_refused[model].inc()

    def job_cancelled(self, model: str) -> None:
        """Count a job whose client went away or ran out of time."""
        self._cancelled[model].inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their content type, as OpenMetrics if `accept` prefers that."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


def _count(counter: Counter, number: int) -> None:
    """Add a number that is nearly always 0; the look-up has created the time series already."""
    if number:
        counter.inc(number)


class _Series(dict[Any, Any]):
    """The time series of one metric, by label or labels.

    The library's own look-up checks and locks anew each time; with some twenty series a request it
    cost more than counting.
    """

    def __init__(self, metric: MetricWrapperBase) -> None:
        self._metric = metric

    def __missing__(self, labels: str | tuple[str, ...]) -> Any:
        series = self._metric.labels(*((labels,) if isinstance(labels, str) else labels))
        self[labels] = series
        return series
