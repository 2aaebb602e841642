"""Spans of a real gateway at a collector, and its log lines."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.system.running import Gateway, running

_TRACE, _CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_PARENT = f"00-{_TRACE}-{_CALLER}-01"
_FAKE = '[models.fake]\nsource = "fake?delay_ms=20"\nengine = "fake"\n'
_VECTORS = '[models.fake]\nsource = "fake?vectors=16"\nengine = "fake"\n'
_PATIENCE_SECONDS = 120.0


class Collector:
    """Collector of spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self._arrived = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            named = {item.key: item.value.string_value for item in resource.resource.attributes}
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans
        self._arrived.set()
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def until(self, name: str) -> Any:
        """Wait for a span of this name."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not (found := [span for span in self.spans if span.name == name]):
                self._arrived.clear()
                await self._arrived.wait()
        return found[0]


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    found = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", found.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield found
    await runner.cleanup()


async def ask(gateway: Gateway, **headers: str) -> Any:
    body = {"query": "a secret", "documents": ["one", "two"], "top_n": 1}
    async with gateway.session.post(
        f"{gateway.url}/v1/rerank", json=body, headers=headers
    ) as reply:
        assert reply.status == 200
        return reply.headers


async def _line_of_the_request(gateway: Gateway) -> dict[str, Any]:
    """Wait for the log line, which is written after the reply."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            for text in gateway.log.read_text().splitlines():
                if '"POST"' in text:
                    line: dict[str, Any] = json.loads(text)
                    return line
            await asyncio.sleep(0.02)


async def test_a_request_becomes_spans_below_the_callers(
    tmp_path: Path, collector: Collector
) -> None:
    async with running("tracing = true\n" + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        headers = await ask(gateway, traceparent=_PARENT)
        assert headers["traceparent"] == _PARENT
        server = await collector.until("rerank")
        compute = await collector.until("compute")
    assert collector.services == {"rerank-gateway"}
    assert server.trace_id.hex() == compute.trace_id.hex() == _TRACE
    assert server.parent_span_id.hex() == _CALLER
    about = {each.key: each.value for each in server.attributes}
    assert about["gen_ai.operation.name"].string_value == "rerank"
    assert about["gen_ai.request.model"].string_value == "fake"
    assert about["gen_ai.usage.input_tokens"].int_value > 0
    assert about["openinference.span.kind"].string_value == "RERANKER"
    assert about["reranker.top_k"].int_value == 1
    assert "error.type" not in about
    below = [span for span in collector.spans if span.parent_span_id == server.span_id]
    assert {"queue", "tokenise", "compute"} <= {span.name for span in below}
    assert compute.end_time_unix_nano - compute.start_time_unix_nano >= 20_000_000
    for span in below:
        assert server.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= server.end_time_unix_nano
    assert not any(b"secret" in span.SerializeToString() for span in collector.spans)


async def test_texts_go_into_spans_where_that_is_set(tmp_path: Path, collector: Collector) -> None:
    config = "tracing = true\ntrace_text_characters = 5\n"
    async with running(config + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        await ask(gateway)
        server = await collector.until("rerank")
    about = {each.key: each.value for each in server.attributes}
    assert about["reranker.query"].string_value == "a sec"
    assert about["reranker.input_documents.1.document.content"].string_value == "two"
    assert 0 < about["reranker.output_documents.0.document.score"].double_value < 1
    assert not any(b"a secret" in span.SerializeToString() for span in collector.spans)
    log = gateway.log.read_text()
    assert "spans carry up to 5 characters" in log
    assert "a sec" not in log


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/embeddings", "input"), ("/embed", "inputs"), ("/tei/embed", "inputs")]
)
async def test_a_request_for_vectors_is_a_span_of_embeddings(
    tmp_path: Path, collector: Collector, path: str, field: str
) -> None:
    async with running("tracing = true\n" + _VECTORS, tmp_path) as gateway:
        await gateway.until_ready()
        body = {field: ["a secret", "another"], "input_type": "query", "dimensions": 8}
        async with gateway.session.post(f"{gateway.url}{path}", json=body) as reply:
            assert reply.status == 200, await reply.text()
        span = await collector.until("embeddings")
    about = {each.key: each.value for each in span.attributes}
    assert about["gen_ai.operation.name"].string_value == "embeddings"
    assert about["openinference.span.kind"].string_value == "EMBEDDING"
    assert about["embedding.model_name"].string_value == "fake"
    assert about["gen_ai.embeddings.dimension.count"].int_value == 8
    formats = about["gen_ai.request.encoding_formats"].array_value.values
    assert [each.string_value for each in formats] == ["float"]
    tokens = about["gen_ai.usage.input_tokens"].int_value
    assert tokens == about["llm.token_count.prompt"].int_value > 0
    assert not any(name.startswith("reranker.") for name in about)
    assert not any(b"secret" in span.SerializeToString() for span in collector.spans)


async def test_a_refused_request_for_vectors_is_one_too(
    tmp_path: Path, collector: Collector
) -> None:
    async with running("tracing = true\n" + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        body = {"input": ["a text"]}  # the model gives no vectors
        async with gateway.session.post(f"{gateway.url}/v1/embeddings", json=body) as reply:
            assert reply.status == 400
        span = await collector.until("embeddings")
    about = {each.key: each.value for each in span.attributes}
    assert about["openinference.span.kind"].string_value == "EMBEDDING"
    assert about["error.type"].string_value == "400"


async def test_an_absent_collector_delays_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with running("tracing = true\n" + _FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        for _ in range(5):
            await ask(gateway)


async def test_a_log_line_has_the_work_and_the_times(tmp_path: Path) -> None:
    async with running(_FAKE, tmp_path) as gateway:
        await gateway.until_ready()
        await ask(gateway, traceparent=_PARENT)
        line = await _line_of_the_request(gateway)
    assert (line["model"], line["documents"], line["code"]) == ("fake", 2, 200)
    assert line["tokens"] > 0
    assert line["compute_ms"] >= 20
    assert 0 <= line["queue_ms"] <= line["ms"]
    assert line["trace_id"] == _TRACE
    assert "secret" not in json.dumps(line)
