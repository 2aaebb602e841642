"""Counters, histograms, and the gauges of a scrape."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.score_drift import ScoresStatus
from gateway.telemetry.status import CanaryStatus, ModelStatus, ShardStatus
from shards.wire.messages import Scores

SHARD = ShardStatus(
    name="m/cpu:0",
    pid=1,
    state="ready",
    stage="",
    generation=3,
    restarts=2,
    device="cpu",
    dtype="fp32",
    cores=(),
    queue=4,
    outstanding_tokens=50,
    documents=6,
    tokens=7,
    documents_per_second=0.0,
    p50_ms=0.0,
    p95_ms=0.0,
    memory_bytes=1000,
    last_error="",
    warnings=(),
)
MODEL = ModelStatus(
    name="m",
    state="degraded",
    default=True,
    aliases=(),
    source="fake",
    engine="fake",
    activation="sigmoid",
    demonstration=False,
    max_length=0,
    queue=9,
    shards=(SHARD, replace(SHARD, name="m/cpu:1", state="backoff")),
)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return all samples by name and label values, in the order of the labels' names."""
    text = metrics.render("text/plain")[0].decode()
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def answer(
    metrics: Metrics, *, tokens: int, padded_tokens: int, saved_tokens: int = 0, **others: Any
) -> None:
    scores = Scores(
        job=1,
        margins=(0.5,) * 5,
        tokens=(tokens, 0, 0, 0, 0),
        truncated=(0, 1),
        computed_tokens=tokens - saved_tokens + padded_tokens,
        queue_ns=1_000_000,
        compute_ns=200_000_000,
        passages=(7, 1, 1, 1, 1),
        saved_tokens=saved_tokens,
        **others,
    )
    metrics.job_answered("m", "m/cpu:0", scores, queued_seconds=0.002)


def test_requests() -> None:
    metrics = Metrics()
    metrics.request_finished("m", "jina", 200, 0.03)
    metrics.request_finished("m", "jina", 200, 40)
    metrics.request_finished("unknown", "tei", 404, 0.001)
    found = samples(metrics)
    assert found["reranker_requests_total", "200", "jina", "m"] == 2
    assert found["reranker_requests_total", "404", "tei", "unknown"] == 1
    assert found["reranker_request_duration_seconds_count", "jina", "m"] == 2
    assert found["reranker_request_duration_seconds_bucket", "jina", "0.05", "m"] == 1
    assert found["reranker_request_duration_seconds_sum", "jina", "m"] == pytest.approx(40.03)


def test_jobs() -> None:
    metrics = Metrics()
    answer(metrics, tokens=300, padded_tokens=100)
    answer(
        metrics,
        tokens=300,
        padded_tokens=0,
        batch_pairs=(4,),
        batch_tokens=(512,),
        batch_us=(300_000,),
    )
    metrics.job_retried("m")
    metrics.job_cancelled("m")
    found = samples(metrics)
    assert found["reranker_documents_total", "m", "m/cpu:0"] == 10
    assert found["reranker_tokens_total", "m", "m/cpu:0"] == 600
    assert found["reranker_padding_tokens_total", "m", "m/cpu:0"] == 100
    assert found["reranker_padding_share", "m"] == pytest.approx(1 / 7)
    assert found["reranker_truncated_documents_total", "m"] == 4
    assert found["reranker_passages_total", "m"] == 14
    assert found["reranker_queue_seconds_sum", "m"] == pytest.approx(0.006)
    assert found["reranker_compute_seconds_sum", "m"] == pytest.approx(0.4)
    assert found["reranker_batch_seconds_sum", "m"] == pytest.approx(0.3)
    assert found["reranker_batch_pairs_sum", "m"] == 4
    assert found["reranker_batch_tokens_sum", "m"] == 512
    assert found["reranker_job_documents_bucket", "5.0", "m"] == 2
    assert found["reranker_job_tokens_bucket", "256.0", "m"] == 0
    assert found["reranker_jobs_retried_total", "m"] == 1
    assert found["reranker_jobs_cancelled_total", "m"] == 1


def test_saved_tokens_are_no_padding_and_were_not_computed() -> None:
    metrics = Metrics()
    answer(metrics, tokens=300, padded_tokens=50, saved_tokens=200, prefix_hits=3, prefix_misses=1)
    found = samples(metrics)
    assert found["reranker_tokens_total", "m", "m/cpu:0"] == 300
    assert found["reranker_saved_tokens_total", "m", "m/cpu:0"] == 200
    assert found["reranker_padding_share", "m"] == pytest.approx(50 / 150)
    assert found["reranker_prefix_hits_total", "m"] == 3
    assert found["reranker_prefix_misses_total", "m"] == 1


def test_a_job_without_tokens_has_no_padding_share() -> None:
    metrics = Metrics()
    answer(metrics, tokens=0, padded_tokens=0)
    assert samples(metrics)["reranker_padding_share", "m"] == 0


def test_status_is_read_at_each_scrape() -> None:
    metrics = Metrics()
    now: Sequence[ModelStatus] = [MODEL]
    metrics.watch(lambda: now)
    found = samples(metrics)
    assert found["reranker_model_up", "m"] == 1
    assert found["reranker_model_queue_jobs", "m"] == 9
    assert found["reranker_shard_up", "m", "m/cpu:0"] == 1
    assert found["reranker_shard_up", "m", "m/cpu:1"] == 0
    assert found["reranker_shard_queue_jobs", "m", "m/cpu:0"] == 4
    assert found["reranker_shard_outstanding_tokens", "m", "m/cpu:0"] == 50
    assert found["reranker_shard_memory_bytes", "m", "m/cpu:0"] == 1000
    assert found["reranker_shard_generation", "m", "m/cpu:0"] == 3
    assert found["reranker_shard_restarts_total", "m", "m/cpu:0"] == 2
    assert found["reranker_shard_state", "m", "m/cpu:1", "backoff"] == 1
    assert found["reranker_shards", "m", "ready"] == 1
    now = [replace(MODEL, shards=MODEL.shards[1:])]
    found = samples(metrics)
    assert found["reranker_model_up", "m"] == 0
    assert ("reranker_shard_up", "m", "m/cpu:0") not in found


def test_many_gateways_in_one_process() -> None:
    one, other = Metrics(), Metrics()
    one.job_retried("m")
    assert ("reranker_jobs_retried_total", "m") not in samples(other)


def test_content_types() -> None:
    metrics = Metrics()
    text, plain = metrics.render("")
    assert plain.startswith("text/plain")
    assert not text.endswith(b"# EOF\n")
    text, openmetrics = metrics.render("application/openmetrics-text; version=1.0.0")
    assert openmetrics.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_endpoint(client: TestClient) -> None:
    client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for name in (
        'reranker_requests_total{code="200",dialect="jina",model="demo"}',
        'reranker_request_duration_seconds_count{dialect="jina",model="demo"}',
        'reranker_documents_total{model="demo",shard="demo/',
        'reranker_shard_up{model="demo",shard="demo/',
        "process_open_fds",
        "reranker_build_info{version=",
    ):
        assert f"\n{name}" in response.text


def test_scores_are_counted_and_compared() -> None:
    metrics = Metrics()
    metrics.watch(lambda: [replace(MODEL, scores=ScoresStatus(p10=0.1, p50=0.4, drift=-1.5))])
    metrics.result_given("m", iter([0.005, 0.45, 0.9995]), tied=2)
    found = samples(metrics)
    assert found["reranker_relevance_score_count", "m"] == 3
    assert found["reranker_relevance_score_bucket", "0.01", "m"] == 1
    assert found["reranker_relevance_score_bucket", "0.5", "m"] == 2
    assert found["reranker_tied_documents_total", "m"] == 2
    assert found["reranker_score_quantile", "m", "0.5"] == 0.4
    assert found["reranker_score_drift", "m"] == -1.5


def test_truncated_documents_have_a_share() -> None:
    metrics = Metrics()
    metrics.watch(lambda: [replace(MODEL, scores=ScoresStatus(documents=8, truncated=2))])
    assert samples(metrics)["reranker_truncated_share", "m"] == 0.25


def test_canaries_are_counted_by_outcome() -> None:
    canary = CanaryStatus(
        mode="full",
        passed=True,
        rounds=5,
        failures=1,
        age_seconds=0.0,
        milliseconds=1.0,
        spread=4.0,
        findings=(),
    )
    metrics = Metrics()
    model = replace(MODEL, shards=(replace(SHARD, canary=canary), replace(SHARD, name="m/cpu:1")))
    metrics.watch(lambda: (model,))
    found = samples(metrics)
    assert found["reranker_canaries_total", "m", "true", "m/cpu:0"] == 4
    assert found["reranker_canaries_total", "m", "false", "m/cpu:0"] == 1
    assert ("reranker_canaries_total", "m", "true", "m/cpu:1") not in found
