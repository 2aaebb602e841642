"""Golden files: the request of a real client, its meaning, and the expected reply."""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.dialects import (
    DIALECTS,
    VECTOR_DIALECTS,
    Limits,
    MediaType,
    VectorDialect,
    decode_request,
    encode,
    match_path,
    reply_parts,
)
from gateway.domain.request import RerankRequest, RerankResult, Scored
from gateway.serving.scatter_gather import rank

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.json"))
MARGINS = (-2.0, 2.0, 0.0, 2.0)
TOKENS = (10, 20, 30, 40)
WRITE: dict[MediaType, Callable[[Any], bytes]] = {
    MediaType.JSON: msgspec.json.encode,
    MediaType.MSGPACK: msgspec.msgpack.encode,
}
READ: dict[MediaType, Callable[[bytes], Any]] = {
    MediaType.JSON: msgspec.json.decode,
    MediaType.MSGPACK: msgspec.msgpack.decode,
}
DEFAULTS: dict[str, Any] = {
    "model": None,
    "instruction": None,
    "top_n": None,
    "return_documents": False,
    "max_tokens_per_doc": None,
    "max_tokens_per_pair": None,
    "max_tokens_per_query": None,
    "raw_scores": False,
    "keep_end": False,
    "long_documents": None,
    "may_cut": False,
    "most_passages": None,
    "return_details": False,
    "warnings": [],
    "encoding": None,
}


def scored(number: int, top_n: int | None) -> RerankResult:
    """Return the result behind the golden replies."""
    all_scored = tuple(Scored(i, MARGINS[i], TOKENS[i], truncated=False) for i in range(number))
    return RerankResult(
        id="rerank-1",
        model="demo",
        scored=all_scored,
        top=rank(all_scored, top_n),
        processing_seconds=0.0125,
        created=1_700_000_000,
        vectors=tuple(struct.pack("<2f", -0.5, i) for i in range(number)),
    )


def meaning(request: RerankRequest) -> dict[str, Any]:
    """Return a request in the format of the golden files."""
    return {
        "queries": list(request.queries),
        "texts": [document.text for document in request.documents],
        "keys": sorted(request.fields_set),
        **{name: getattr(request, name) for name in DEFAULTS},
        "warnings": list(request.warnings),
        "encoding": request.encoding and asdict(request.encoding),
    }


def test_every_dialect_has_golden_files() -> None:
    assert {path.parent.name for path in GOLDEN} == {
        dialect.name for dialect in (*DIALECTS, *VECTOR_DIALECTS)
    }


@pytest.mark.parametrize("form", MediaType)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path, form: MediaType) -> None:
    golden = json.loads(path.read_text())
    served = match_path(golden["path"])
    assert served is not None
    decoded = decode_request(WRITE[form](golden["request"]), form, served)
    assert decoded.dialect.name == path.parent.name
    request = decoded.parse(Limits())
    assert meaning(request) == DEFAULTS | golden["means"]
    reply = decoded.dialect.render(request, scored(len(request.documents), request.top_n))
    assert_same(READ[form](encode(reply, form)), golden["reply"])
    if isinstance(decoded.dialect, VectorDialect):
        whole = scored(len(request.documents), request.top_n)
        parts = b"".join(reply_parts(decoded.dialect, request, whole, form))
        assert_same(READ[form](parts), golden["reply"])


def assert_same(found: Any, expected: Any) -> None:
    """Compare values and their types; floats to 12 digits."""
    assert type(found) is type(expected), (found, expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for left, right in zip(found, expected, strict=True):
            assert_same(left, right)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12)
    else:
        assert found == expected
