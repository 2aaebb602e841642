"""Limits of keys over HTTP, and the counts in metrics, status and log."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway.http.guarded import KEYS, Guarded, guarded, wrong_keys
from tests.gateway.http.keys.making import bearer

__all__ = ["guarded"]

# -- limits ----------------------------------------------------------------------------------------


def test_the_rate_of_a_key(guarded: Guarded) -> None:
    first, second = guarded.rerank("slow"), guarded.rerank("slow", documents=[])
    assert (first.status_code, second.status_code) == (200, 400)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    left = [reply.headers["x-ratelimit-remaining-requests"] for reply in (first, second)]
    assert left == ["1", "0"]
    third = guarded.rerank("slow")
    assert (third.status_code, third.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert third.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert third.headers["x-ratelimit-reset-requests"].endswith("s")
    assert int(third.headers["x-ratelimit-reset"]) > 1_700_000_000
    tei = guarded.rerank("slow", "/tei/rerank", texts=["a"])
    assert (tei.status_code, tei.json()["error_type"]) == (429, "Overloaded")
    assert guarded.get("slow", "/v1/models").status_code == 200  # only rerank requests count
    assert "x-ratelimit-limit-requests" not in guarded.rerank("good").headers
    found = guarded.status("slow")
    counts = (found["requests"], found["refused"], found["documents"], found["open"])
    assert counts == (2, 2, 2, 0)


def test_the_requests_at_a_time_of_a_key(guarded: Guarded) -> None:
    guarded.rerank("good", model="second")  # loaded by now
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(lambda _: guarded.rerank("single", model="second"), range(3)))
    assert sorted(reply.status_code for reply in replies) == [200, 429, 429]
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"
    assert refused.headers["retry-after"] == "1"
    assert guarded.status("single")["open"] == 0
    assert guarded.rerank("single").status_code == 200


# -- counts ----------------------------------------------------------------------------------------


def test_requests_are_counted_by_key(guarded: Guarded) -> None:
    before = guarded.metric("reranker_key_requests_total", key="alias", code="200")
    tokens = guarded.metric("reranker_key_tokens_total", key="alias")
    used = guarded.rerank("alias").json()["usage"]["total_tokens"]
    assert guarded.metric("reranker_key_requests_total", key="alias", code="200") == before + 1
    assert guarded.metric("reranker_key_tokens_total", key="alias") == tokens + used
    assert guarded.metric("reranker_key_documents_total", key="alias") >= 2
    assert guarded.status("alias")["tokens"] == tokens + used


def test_refusals_are_counted_by_their_reason(guarded: Guarded) -> None:
    def counts() -> list[float]:
        codes = ("missing", "invalid", "expired", "revoked")
        return [
            guarded.metric("reranker_keys_refused_total", reason=f"{code}_api_key")
            for code in codes
        ]

    before = counts()
    guarded.client.get("/v1/models")
    guarded.client.get("/v1/models", headers=bearer("wrong"))
    guarded.get("expired", "/v1/models")
    guarded.get("revoked", "/v1/models")
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1, 1]


def test_the_log_has_ids_and_no_secrets(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for key in KEYS:
        guarded.rerank(key)
    for secret in wrong_keys(guarded.secrets):
        guarded.client.post("/v1/rerank", headers=[(b"x-api-key", secret.encode())])
    fields = [
        (getattr(line, "key", ""), getattr(line, "reason", ""))
        for line in caplog.records
        if line.name == "gateway.access"
    ]
    assert {("good", ""), ("expired", "expired_api_key"), ("revoked", "revoked_api_key")} < set(
        fields
    )
    assert ("good", "invalid_api_key") in fields  # a part of the key was sent
    written = repr([vars(line) for line in caplog.records])
    for secret in guarded.secrets.values():
        assert secret.split("_", 2)[2][:20] not in written
