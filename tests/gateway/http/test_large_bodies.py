"""Time and memory of parsing grow with the bytes of a body, whatever is in it."""

import asyncio
import gc
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from gateway.cli.serve.run import freeze_startup_objects
from gateway.dialects import PATHS, Limits, MediaType, parse_body
from gateway.domain.errors import DeadlineExceeded, InvalidRequest
from gateway.http.large_bodies import LARGE_BYTES, LargeBodies
from gateway.http.rerank_endpoint import RerankEndpoint
from tests.request_fuzz import FLOOR, GROWN, Recipe, parse, peak, recipes, seconds

SMALL = 200_000
MOST_TIMES = 8
NOISE_SECONDS = 0.02
MOST_TIMES_THE_TIME = 10

BY_CHANCE = recipes(seed=7, number=30)
IN_DOCUMENTS = [Recipe("/v1/rerank", "documents", name, MediaType.JSON) for name in GROWN]


@pytest.fixture(autouse=True)
def freeze() -> Iterator[None]:
    """Collect garbage as the gateway does: not among the objects of other tests."""
    gc.collect()
    before = gc.get_threshold()
    freeze_startup_objects()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.parametrize("recipe", [*BY_CHANCE, *IN_DOCUMENTS], ids=str)
def test_time_grows_with_the_bytes(recipe: Recipe) -> None:
    """Four times the bytes take less than ten times as long.

    A body may take a step of its own, as a small harmless one is not counted. So one of two steps
    in a row must be small; time that grows with the square of the bytes makes both large.
    """
    taken = [_least_seconds(recipe, size) for size in (SMALL, 4 * SMALL)]
    if not _is_in_proportion(*taken):
        taken.append(_least_seconds(recipe, 16 * SMALL))
        assert _is_in_proportion(*taken[1:]), taken


def _least_seconds(recipe: Recipe, size: int) -> float:
    body = recipe.make(size)
    return min(seconds(partial(parse, body)) for _ in range(3))


def _is_in_proportion(first: float, second: float) -> bool:
    return second < MOST_TIMES_THE_TIME * first + NOISE_SECONDS


@pytest.mark.parametrize("recipe", recipes(seed=8, number=10), ids=str)
def test_memory_is_a_small_multiple_of_the_bytes(recipe: Recipe) -> None:
    body = recipe.make(FLOOR // 2)
    assert peak(body) < MOST_TIMES * max(len(body.raw), FLOOR), body.name


def refused(sent: object, path: str = "/v1/rerank") -> str:
    """Return the message of the refusal of a body, the same in both formats."""
    messages = set()
    for media_type, write in (
        (MediaType.JSON, msgspec.json.encode),
        (MediaType.MSGPACK, msgspec.msgpack.encode),
    ):
        with pytest.raises(InvalidRequest) as caught:
            parse_body(write(sent), media_type, PATHS[path], Limits(), lambda _: None)
        messages.add(caught.value.message)
    assert len(messages) == 1
    return messages.pop()


def test_rank_fields_are_few_and_different() -> None:
    names = ["b"] * 100_000 + ["a"]
    sent = {"query": "q", "rank_fields": names, "documents": [{"a": "x"}] * 3000}
    assert seconds(lambda: refused(sent)) < 1
    assert refused(sent) == "rank_fields has 100001 names, the limit is 64"
    twice = {"query": "q", "rank_fields": ["a", "b", "a"], "documents": [{"a": "x"}]}
    assert refused(twice) == "rank_fields has 'a' twice: name each field once"


def test_joined_fields_are_counted_before_they_are_joined() -> None:
    fields = {f"f{i}": "x" * 20_000 for i in range(64)}
    sent = {"query": "q", "rank_fields": list(fields), "documents": [fields]}
    message = "documents[0] has 1000049 bytes or more, the limit is 1000000: shorten it"
    assert refused(sent) == message
    parts = [{"type": "text", "text": "x" * 20_000} for _ in range(64)]
    sent = {"query": "q", "documents": [{"content": parts}]}
    assert refused(sent) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[]] * 100_001, "or has more than 100000 lists and objects"),
        (dict.fromkeys(map(str, range(60_000)), 1), "the body has 60002 fields, the limit is 1000"),
        ([999] * 400_001, "the body has more than 400000 values"),
        (["ab"] * 250_000, "values: they would take"),
    ],
    ids=["lists", "fields", "values", "texts"],
)
def test_a_body_with_too_many_values_is_refused(value: object, message: str) -> None:
    grown = value if isinstance(value, dict) else {"other": value}
    sent = {"query": "q", "documents": ["a"], **grown}
    for media_type, write in (
        (MediaType.JSON, msgspec.json.encode),
        (MediaType.MSGPACK, msgspec.msgpack.encode),
    ):
        with pytest.raises(InvalidRequest, match=message.replace("[", r"\[")):
            parse_body(write(sent), media_type, PATHS["/v1/rerank"], Limits(), lambda _: None)


@pytest.mark.parametrize("media_type", MediaType)
@pytest.mark.parametrize(
    "document",
    [
        'a text with "quotes", {braces}, [brackets] and \\backslashes\\: ' * 10,
        json.dumps({"a": [1, 2, {"b": "c"}]}) * 10,
        {"id": 123, "name": "foo", "price": 3.5, "stock": 3, "text": "a"},
        {"text": "a", "tags": ["x", "y"], "size": {"w": 1, "h": 2}},
    ],
    ids=["text", "JSON in a text", "short objects", "nested objects"],
)
def test_ordinary_documents_are_accepted(media_type: MediaType, document: object) -> None:
    sent = {"query": "q", "documents": [document] * 10_000}
    write = msgspec.json.encode if media_type is MediaType.JSON else msgspec.msgpack.encode
    raw = write(sent)
    request = parse_body(raw, media_type, PATHS["/v1/rerank"], Limits(), lambda _: None)
    assert len(request.documents) == 10_000


async def test_a_large_body_is_parsed_in_a_thread_one_at_a_time() -> None:
    bodies, names, may_end = LargeBodies(), [], threading.Event()

    def work() -> str:
        names.append(threading.current_thread().name)
        may_end.wait(120)
        return "done"

    first = asyncio.create_task(bodies.run(10, work))
    with pytest.raises(DeadlineExceeded, match="while other large bodies were read"):
        await bodies.run(0.05, work)
    may_end.set()
    assert await first == "done"
    assert set(names) == {"large-bodies_0"}


@pytest.mark.parametrize(("size", "is_apart"), [(LARGE_BYTES - 1, False), (LARGE_BYTES, True)])
async def test_a_small_body_needs_no_thread(size: int, is_apart: bool) -> None:
    unused: Any = None
    endpoint = RerankEndpoint(
        fleet=unused,
        reranker=unused,
        encoder=unused,
        metrics=unused,
        limits=Limits(),
        default_timeout_seconds=1,
        max_timeout_seconds=1,
        is_stopping=lambda: False,
    )
    thread = await endpoint.work_on_body(size, time.monotonic() + 10, threading.current_thread)
    assert (thread is not threading.current_thread()) == is_apart
