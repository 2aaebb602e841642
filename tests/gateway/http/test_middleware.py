"""Request ids, log lines, errors and body limits, around tiny apps and a real server."""

import asyncio
import gc
import json
import logging
import re
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.domain.errors import GatewayError, Overloaded, TooManyRequests, UnknownModel
from gateway.http.middleware import BodyLimit, Errors, Observe
from gateway.http.request_context import RequestContext, context_of
from gateway.http.responses import error_reply

LIMIT = 1000
NEW_ID = re.compile(r"rerank-[0-9a-f]{32}")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def ignore(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await PlainTextResponse("ignored")(scope, receive, send)


def raising(error: Exception) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


def stack(app: ASGIApp, contexts: list[RequestContext] | None = None) -> ASGIApp:
    """Return the app inside the middleware of the gateway."""
    finished = [] if contexts is None else contexts
    return Observe(
        Errors(BodyLimit(app, limit_bytes=LIMIT), render=error_reply),
        finished=finished.append,
    )


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an app with the HTTP server of production; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, http="httptools", loop="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


# -- request ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["a", "trace-7.A_b", "0" * 64])
def test_a_valid_id_is_kept(sent: str) -> None:
    response = TestClient(stack(echo)).get("/", headers={"x-request-id": sent})
    assert response.headers["x-request-id"] == response.headers["request-id"] == sent


@pytest.mark.parametrize("sent", ["", "0" * 65, "a b", "a\tb", "a/b", 'a"b', "naïve", "a\x1b[31m"])
def test_other_ids_are_replaced(sent: str) -> None:
    response = TestClient(stack(echo)).get("/", headers={b"x-request-id": sent.encode()})
    assert NEW_ID.fullmatch(response.headers["x-request-id"])


def test_each_request_gets_its_own_id() -> None:
    client = TestClient(stack(echo))
    assert len({client.get("/").headers["request-id"] for _ in range(5)}) == 5


# -- log and report ------------------------------------------------------------------------------


def test_one_log_line_without_any_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    contexts: list[RequestContext] = []
    TestClient(stack(echo, contexts)).post(
        "/v1/rerank?secret=1",
        content=b"the secret query",
        headers={"authorization": "Bearer secret", "x-request-id": "id-1"},
    )
    (record,) = caplog.records
    line = vars(record)
    assert record.levelno == logging.INFO
    assert line["request_id"] == "id-1"
    assert line["method"] == "POST"
    assert line["path"] == "/v1/rerank"
    assert line["code"] == 200
    assert line["ms"] >= 0
    assert "secret" not in json.dumps(line, default=str)
    assert [context.status for context in contexts] == [200]
    assert contexts[0].is_rerank


def test_the_log_has_a_path_as_it_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "gateway")
    for path in ("/v1/models", "/openai/v1/models/", "/livez/", "/v1/rerank/"):
        caplog.clear()
        TestClient(stack(echo)).get(path)
        assert vars(caplog.records[0])["path"] == path


def test_long_paths_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    TestClient(stack(echo)).get("/" + "x" * 5000)
    assert len(vars(caplog.records[0])["path"]) == 200


async def test_client_that_leaves_counts_as_499() -> None:
    contexts: list[RequestContext] = []
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await stack(raising(ClientDisconnect()), contexts)(scope, receive, send)
    assert [context.status for context in contexts] == [499]
    assert sent == []


# -- errors --------------------------------------------------------------------------------------


def test_raised_errors_are_answered() -> None:
    error = UnknownModel("no such model", param="model")
    response = TestClient(stack(raising(error))).post("/v1/rerank")
    assert response.status_code == 404
    assert response.json() == {
        "id": response.headers["x-request-id"],
        "message": "no such model",
        "detail": "no such model",
        "error": {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        },
    }


@pytest.mark.parametrize(("seconds", "header"), [(None, "1"), (7, "7")])
def test_overload_has_a_retry_after(seconds: int | None, header: str) -> None:
    error = Overloaded("busy", retry_after_seconds=seconds)
    response = TestClient(stack(raising(error))).post("/tei/rerank")
    assert response.status_code == 503
    assert response.headers["retry-after"] == header
    assert response.json() == {
        "error": "busy",
        "error_type": "Overloaded",
        "message": "busy",
        "detail": "busy",
    }


@pytest.mark.parametrize("error", [TooManyRequests, Overloaded])
def test_voyages_client_finds_the_detail_for_which_it_tries_again(
    error: type[GatewayError],
) -> None:
    response = TestClient(stack(raising(error("busy")))).post("/voyage/v1/rerank")
    assert response.status_code == error.status
    assert response.json()["detail"] == "busy"


def test_a_bug_is_a_500_that_tells_nothing_but_the_id(caplog: pytest.LogCaptureFixture) -> None:
    error = ZeroDivisionError("something internal")
    response = TestClient(stack(raising(error))).post("/", headers={"x-request-id": "id-1"})
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "id-1" in response.json()["message"]
    assert "something internal" not in response.text
    assert "something internal" in caplog.text


def test_a_refusal_is_freed_without_the_garbage_collector() -> None:
    raised: list[weakref.ref[Overloaded]] = []

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = Overloaded("full")
        raised.append(weakref.ref(refusal))
        raise refusal

    gc.disable()
    try:
        assert TestClient(stack(refuse)).get("/").status_code == 503
        assert raised[0]() is None
    finally:
        gc.enable()


def test_an_error_after_the_start_of_the_reply_cuts_it_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        TestClient(stack(app)).get("/")


def test_an_error_has_the_media_type_that_the_client_accepts() -> None:
    response = TestClient(stack(raising(Overloaded("busy")))).post(
        "/rerank", headers={"accept": "application/msgpack"}
    )
    assert response.headers["content-type"] == "application/msgpack"


async def test_other_protocols_pass_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        seen.append(message["type"])

    await stack(app)({"type": "lifespan"}, receive, send)
    assert seen == ["lifespan"]


def test_endpoints_find_the_context_in_the_scope() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        await Response(context.request_id + context.dialect.name)(scope, receive, send)

    client = TestClient(stack(app))
    assert client.get("/rerank", headers={"x-request-id": "7"}).text == "7native"


# -- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "status"), [(0, 200), (LIMIT, 200), (LIMIT + 1, 413)])
def test_limit_is_inclusive(size: int, status: int) -> None:
    response = TestClient(stack(echo)).post("/", content=b"x" * size)
    assert response.status_code == status
    assert status != 200 or response.text == str(size)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_encoded_bodies_are_refused(encoding: str) -> None:
    response = TestClient(stack(echo)).post("/", headers={"content-encoding": encoding})
    assert response.status_code == 415
    assert response.json()["error"]["param"] == "Content-Encoding"


def test_identity_is_no_encoding() -> None:
    response = TestClient(stack(echo)).post("/", headers={"content-encoding": "Identity"})
    assert response.status_code == 200


async def test_declared_size_is_refused_before_the_body_is_read() -> None:
    async with serving(stack(echo)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert head.startswith(b"HTTP/1.1 413 ")
        writer.close()
        await writer.wait_closed()


async def test_chunked_body_is_cut_at_the_limit() -> None:
    async with serving(stack(echo)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")  # and more chunks to come
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert head.startswith(b"HTTP/1.1 413 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("size", [LIMIT + 1, 20_000_000])
@pytest.mark.parametrize("app", [echo, ignore], ids=["echo", "ignore"])
async def test_refusal_reaches_a_client_that_sends_everything_first(
    app: ASGIApp, size: int
) -> None:
    """It is not lost in a connection reset, and the connection serves the next request."""

    def post(port: int) -> list[tuple[int, bytes]]:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        answers = []
        for body in (b"x" * size, b"x" * size, b"x"):
            connection.request("POST", "/v1/rerank", body)
            response = connection.getresponse()
            answers.append((response.status, response.read()))
        connection.close()
        return answers

    async with serving(stack(app)) as port:
        first, second, third = await asyncio.to_thread(post, port)
    for status, text in (first, second):
        assert status == 413
        assert b"the limit is 1000" in text
    assert third[0] == 200
