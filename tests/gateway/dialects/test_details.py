"""Details of results: all with `return_details`, none without."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gateway.dialects import (
    DIALECTS,
    Dialect,
    Limits,
    MediaType,
    RerankPath,
    decode_request,
    encode,
)
from gateway.domain.request import RerankResult, Scored
from gateway.serving.scatter_gather import rank

NAMES = {"margin", "tokens", "truncated", "passages", "span"}
WHOLE = Scored(0, -1.5, 12, truncated=False)
IN_PASSAGES = Scored(1, 2.5, 99, truncated=True, passages=7, span=(30, 41))
CUT = Scored(1, 2.5, 99, truncated=True)


def _reply(dialect: Dialect, *scored: Scored, **fields: Any) -> Any:
    """Return the reply to the dialect's own example, which has two documents."""
    example = {**dialect.contract.example, "return_details": False} | fields
    example |= {name: 0 for name in ("top_n", "top_k") if name in example}
    raw = encode(example, MediaType.JSON)
    request = decode_request(raw, MediaType.JSON, RerankPath(dialect)).parse(Limits())
    result = RerankResult(
        id="rerank-1",
        model="demo",
        scored=scored,
        top=rank(scored, None),
        processing_seconds=0.1,
        created=1,
    )
    return msgspec.to_builtins(dialect.render(request, result))


def _results(reply: Any) -> list[dict[str, Any]]:
    """Return the list of results, under any dialect's name."""
    if isinstance(reply, list):
        return [result[0] if isinstance(result, list) else result for result in reply]
    reply = reply.get("output", reply)
    names = ("results", "rankings", "details", "data", "records", "scores")
    found: list[dict[str, Any]] = next(reply[name] for name in names if name in reply)
    return found


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _keys(inner)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_details_are_there_if_requested(dialect: Dialect) -> None:
    results = _results(_reply(dialect, WHOLE, IN_PASSAGES, return_details=True))
    best = max(results, key=lambda result: result["margin"])
    other = min(results, key=lambda result: result["margin"])
    assert {name: best[name] for name in NAMES} == {
        "margin": 2.5,
        "tokens": 99,
        "truncated": True,
        "passages": 7,
        "span": {"start": 30, "end": 41},
    }
    assert (other["margin"], other["tokens"], other["truncated"]) == (-1.5, 12, False)
    assert other["span"]["start"] == 0


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_an_unknown_span_is_left_out(dialect: Dialect) -> None:
    for result in _results(_reply(dialect, WHOLE, CUT, return_details=True)):
        assert ("span" in result) is not result["truncated"]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_other_replies_have_no_details(dialect: Dialect) -> None:
    keys = set(_keys(_reply(dialect, WHOLE, IN_PASSAGES)))
    assert keys.isdisjoint({*NAMES, "details"} - {"tokens"})  # Cohere's meta has tokens
    plain = _reply(dialect, WHOLE, CUT)
    assert plain == _reply(dialect, WHOLE, IN_PASSAGES)


def test_passages_are_billed_as_documents() -> None:
    scored = tuple(Scored(at, 0.0, 1, truncated=False, passages=30) for at in range(7))
    result = RerankResult(
        id="", model="", scored=scored, top=scored, processing_seconds=0, created=0
    )
    assert result.search_units == 3
