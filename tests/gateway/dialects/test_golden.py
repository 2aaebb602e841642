"""Each golden file: what a real client sends, what it means, and the reply it must get."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.dialects import DIALECTS, Form, Limits, decode, dialect_of, encode
from gateway.domain import RerankRequest, RerankResult, Scored, rank

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.json"))
MARGINS = (-2.0, 2.0, 0.0, 2.0)
TOKENS = (10, 20, 30, 40)
WRITE: dict[Form, Callable[[Any], bytes]] = {
    Form.JSON: msgspec.json.encode,
    Form.MSGPACK: msgspec.msgpack.encode,
}
READ: dict[Form, Callable[[bytes], Any]] = {
    Form.JSON: msgspec.json.decode,
    Form.MSGPACK: msgspec.msgpack.decode,
}
DEFAULTS: dict[str, Any] = {
    "model": None,
    "instruction": None,
    "top_n": None,
    "return_documents": False,
    "max_tokens_per_doc": None,
    "raw_scores": False,
    "keep_end": False,
    "long_documents": None,
    "may_cut": False,
    "most_passages": None,
    "return_details": False,
}


def scored(number: int, top_n: int | None) -> RerankResult:
    """Return the result that the golden replies are written for."""
    all_scored = tuple(Scored(i, MARGINS[i], TOKENS[i], truncated=False) for i in range(number))
    return RerankResult(
        id="rerank-1",
        model="demo",
        scored=all_scored,
        top=rank(all_scored, top_n),
        processing_seconds=0.0125,
        created=1_700_000_000,
    )


def meaning(request: RerankRequest) -> dict[str, Any]:
    """Return a request in the words of the golden files."""
    return {
        "queries": list(request.queries),
        "texts": [document.text for document in request.documents],
        "keys": sorted(request.keys),
        **{name: getattr(request, name) for name in DEFAULTS},
    }


def test_every_dialect_has_golden_files() -> None:
    assert {path.parent.name for path in GOLDEN} == {dialect.name for dialect in DIALECTS}


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path, form: Form) -> None:
    golden = json.loads(path.read_text())
    body = decode(WRITE[form](golden["request"]), form)
    dialect = dialect_of(golden["path"], body.keys)
    assert dialect.name == path.parent.name
    request = dialect.parse(body, Limits())
    assert meaning(request) == DEFAULTS | golden["means"]
    reply = dialect.render(request, scored(len(request.documents), request.top_n))
    assert_same(READ[form](encode(reply, form)), golden["reply"])


def assert_same(found: Any, expected: Any) -> None:
    """Compare values and their types; floats to 12 digits."""
    assert type(found) is type(expected), (found, expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12)
    else:
        assert found == expected
