"""Every metric of the gateway, in one place; served at `/metrics`.

What happens is counted as it happens, by the methods of `Metrics`; what *is* (shard states, queues)
is read from the fleet when somebody looks (`gauges`), so that it cannot be out of date. Label values are names
from the configuration, dialects and status codes, never text from a client: the number of time
series is bounded. Each `Metrics` has its own registry, so a process may hold several gateways.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from gateway.gauges import ShadowCollector, StatusCollector
from gateway.status import ModelStatus, ShadowStatus

UNKNOWN_MODEL = "unknown"
"""The label of requests that named no model of ours."""

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
        self._count_requests()
        self._count_jobs()
        self._count_keys()
        self._count_tokens()

    def _count_requests(self) -> None:
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
            "Connections that were ended before a request of theirs reached the gateway, by reason.",
            ("reason",),
        )

        self._dealt = self._counter(
            "reranker_split_requests", "Requests dealt out by a split.", ("split", "model")
        )
        self._shadowed = self._counter(
            "reranker_shadow_requests",
            "Requests drawn to be scored by a shadow as well, by what became of them.",
            ("model", "shadow", "outcome"),
        )
        self._reloads = self._counter("reranker_reloads", "Reloads, by how they ended.", ("ok",))

    def _count_tokens(self) -> None:
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

    def _count_jobs(self) -> None:
        self._queue_seconds = self._histogram(
            "reranker_queue_seconds",
            "How long a job waited, in the gateway's line and in its shard.",
            _MODEL,
            _SECONDS,
        )
        self._compute_seconds = self._histogram(
            "reranker_compute_seconds", "A job's share of its batches.", _MODEL, _SECONDS
        )
        self._batch_seconds = self._histogram(
            "reranker_batch_seconds", "How long a batch was computed.", _MODEL, _SECONDS
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
        self._count_results()

    def _count_results(self) -> None:
        self._truncated = self._counter(
            "reranker_truncated_documents", "Documents cut to the model's limit.", _MODEL
        )
        self._passages = self._counter(
            "reranker_passages", "Passages of long documents scored.", _MODEL
        )
        self._relevance = self._histogram(
            "reranker_relevance_score", "Relevance scores of documents.", _MODEL, _SCORES
        )
        self._tied = self._counter(
            "reranker_tied_documents",
            "Documents with the very score of a different one in the same request.",
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

    def _count_keys(self) -> None:
        self._keys_refused = self._counter(
            "reranker_keys_refused", "Requests without a good key, by error code.", ("reason",)
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
        """Show the state of these models and shards whenever the metrics are read."""
        self.registry.register(StatusCollector(status))

    def watch_shadows(self, status: Callable[[], Sequence[ShadowStatus]]) -> None:
        """Show how much these models and their shadows agree whenever the metrics are read."""
        self.registry.register(ShadowCollector(status))

    def request_finished(self, model: str, dialect: str, code: int, seconds: float) -> None:
        """Count one rerank request; `model` is a public name or `UNKNOWN_MODEL`."""
        self._requests[model, dialect, str(code)].inc()
        self._request_seconds[model, dialect].observe(seconds)

    def request_dealt(self, split: str, model: str) -> None:
        """Count one rerank request that a split has sent to a model."""
        self._dealt[split, model].inc()

    def shadow_finished(self, model: str, shadow: str, outcome: str) -> None:
        """Count a request drawn for a shadow: `compared`, `dropped` or `failed`."""
        self._shadowed[model, shadow, outcome].inc()

    def connection_refused(self, reason: str) -> None:
        """Count a connection that was refused or cut; `reason` is one of a few words of ours."""
        self._connections_refused[reason].inc()

    def key_refused(self, reason: str) -> None:
        """Count a request whose key is missing or not good; `reason` is an error code."""
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
        self,
        model: str,
        shard: str,
        *,
        documents: int,
        tokens: int,
        padded_tokens: int,
        saved_tokens: int,
        truncated: int,
        passages: int,
        queue_seconds: float,
        compute_seconds: float,
    ) -> None:
        """Count one job; `padded_tokens` are those of padding alone, `saved_tokens` not computed."""
        self._queue_seconds[model].observe(queue_seconds)
        self._compute_seconds[model].observe(compute_seconds)
        self._job_documents[model].observe(documents)
        self._job_tokens[model].observe(tokens)
        self._documents[model, shard].inc(documents)
        self._tokens[model, shard].inc(tokens)
        _count(self._padding[model, shard], padded_tokens)
        _count(self._saved[model, shard], saved_tokens)
        _count(self._truncated[model], truncated)
        _count(self._passages[model], passages)
        self._useful[model] += tokens - saved_tokens
        self._wasted[model] += padded_tokens
        computed = self._useful[model] + self._wasted[model]
        self._padding_share[model].set(self._wasted[model] / max(1, computed))

    def result_given(self, model: str, scores: Iterable[float], *, tied: int) -> None:
        """Count the relevance scores of one request; `tied` documents share theirs."""
        histogram = self._relevance[model]
        for score in scores:
            histogram.observe(score)
        _count(self._tied[model], tied)

    def batches_computed(self, model: str, batches: Iterable[tuple[int, int, int]]) -> None:
        """Count batches that a shard has computed: pairs, tokens and microseconds of each."""
        for pairs, tokens, micros in batches:
            self._batch_seconds[model].observe(micros / 1e6)
            self._batch_pairs[model].observe(pairs)
            self._batch_tokens[model].observe(tokens)

    def prefixes_looked_up(self, model: str, *, hits: int, misses: int) -> None:
        """Count parts of prefixes that were kept from before, and that were not."""
        _count(self._prefix_hits[model], hits)
        _count(self._prefix_misses[model], misses)

    def job_retried(self, model: str) -> None:
        """Count a job that goes to another shard because its own was lost, or failed at it."""
        self._retried[model].inc()

    def retry_refused(self, model: str) -> None:
        """Count a job that would have been scored again if there were not so many."""
        self._retries_refused[model].inc()

    def job_cancelled(self, model: str) -> None:
        """Count a job that nobody waits for any more."""
        self._cancelled[model].inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their content type, as OpenMetrics if `accept` prefers that."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


def _count(one: Counter, number: int) -> None:
    """Count what is nearly always nothing; the time series is there all the same."""
    if number:
        one.inc(number)


class _Series(dict[Any, Any]):
    """The time series of one metric by their label, or labels.

    The library's own look-up checks and locks anew each time; with some twenty series a request it cost
    more than counting.
    """

    def __init__(self, metric: MetricWrapperBase) -> None:
        self._metric = metric

    def __missing__(self, labels: str | tuple[str, ...]) -> Any:
        one = self._metric.labels(*((labels,) if isinstance(labels, str) else labels))
        self[labels] = one
        return one
