"""YAML of documents that are objects: PyYAML is the reference."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.yaml_text import yaml_lines

texts = st.text(max_size=12) | st.text(
    alphabet=st.sampled_from(
        [*"ab:-#? \n\t'\"\\&*!|>%@`,[]{}.0129eE_+~=<Яé", "\x85", "\u2028", "😀"]
    ),
    max_size=8,
)
words = st.sampled_from(
    [
        *("yes", "No", "null", "~", "1", "0x1F", "0o7", "1_0", "1.5", "1e5", "1.e+5", ".5", "1:30"),
        *("12:30:45", "2024-01-31", "2024-1-3 1:02:03", "<<", "=", "-", "- a", ":", "a: b", "a:b"),
        *("# a", "a #b", "", "---", "--- a", "...", "?", "? a", "on", ".inf", "-.INF", ".nan"),
        *("x" * 130, "a b " * 60),
    ]
)
keys = texts | words
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    leaves | texts | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


def reference(fields: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(
        fields, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=False
    )
    return text


def dumped(fields: dict[str, Any]) -> str:
    return "".join(f"{line}\n" for line in yaml_lines(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"title": "Paris", "body": "The capital of France.", "year": 1889, "open": True},
        {"b": 1, "a": {"y": [1, {"x": None, "w": "two\nlines"}], "x": []}, "c": {}},
        {"text": "a: b", "list": [[1, [2]], [], {"k": "v"}], "": 0, "k" * 200: {"a": [1]}},
    ],
)
def test_examples(fields: dict[str, Any]) -> None:
    assert dumped(fields) == reference(fields)


@given(fields=st.dictionaries(keys, values, max_size=4))
def test_any_object(fields: dict[str, Any]) -> None:
    assert dumped(fields) == reference(fields)


def test_letters_stay_and_lines_stay_whole() -> None:
    fields = {"текст": "столица " * 30 + "é"}
    assert dumped(fields) == f"текст: {'столица ' * 30}é\n"
