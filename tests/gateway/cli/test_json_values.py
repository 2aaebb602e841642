"""Values of a JSON file, read one by one."""

import io
import json
from pathlib import Path

import pytest

from gateway.cli import json_values as module
from gateway.cli.json_values import BadJson, json_values


def values(text: str | bytes) -> list[object]:
    raw = text.encode() if isinstance(text, str) else text
    return [json.loads(value) for value in json_values(io.BytesIO(raw))]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('["a", {"b": [1, "]"]}, 3.5, null]', ["a", {"b": [1, "]"]}, 3.5, None]),
        ('\ufeff [ "a"\n,\t"b" ] \n', ["a", "b"]),
        ("[]", []),
        ('{"a": 1}', [{"a": 1}]),
        ('{"a":\n 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('"text"', ["text"]),
        ("", []),
        ("12", [12]),
        ('["три", "\\u0442\\u0440\\u0438"]', ["три", "три"]),
    ],
)
def test_items_of_an_array_or_values_in_a_row(text: str, wanted: list[object]) -> None:
    assert values(text) == wanted


@pytest.mark.parametrize("size", [1, 2, 7])
def test_values_go_over_the_borders_of_chunks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", size)
    wanted = [{"text": "x" * 100, "id": 1234567}, "три", [1, [2]], 98765, True]
    assert values(json.dumps(wanted, indent=3)) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('["a", "b"', "a comma or the end of the array is missing"),
        ('["a" "b"]', "a comma or the end of the array is missing"),
        ('["a", ]', "not JSON"),
        ('["a"] x', "more text"),
        ('{"a": ', "not JSON"),
        ("plain", "not JSON"),
        (b'["\xff"]', "not UTF-8"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_a_file_that_is_no_json_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(BadJson, match=reason):
        values(text)


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MOST_VALUE_CHARACTERS", 1000)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 10)
    path = tmp_path / "large.json"
    path.write_text('["a", "' + "x" * 1_000_000)
    with path.open("rb") as stream:
        found = json_values(stream)
        assert next(found) == '"a"'
        with pytest.raises(BadJson, match="longer than the limit of 1000"):
            next(found)
        assert stream.tell() < 50_000
