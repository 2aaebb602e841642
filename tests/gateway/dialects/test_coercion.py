"""Integers and booleans, compared with pydantic in lax mode."""

import math
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.dialects.coercion import BOOLEANS, to_boolean, to_integer

INTEGER: TypeAdapter[int] = TypeAdapter(int)
BOOLEAN: TypeAdapter[bool] = TypeAdapter(bool)
numerals = st.text(alphabet="0123456789+-._ e\n", max_size=8)


def lax(adapter: TypeAdapter[Any], value: object) -> object:
    """Return what pydantic makes of a value; `None` for an error."""
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None


def ours(value: object, kind: type) -> object:
    """Return a value of exactly one type, `None` for any other."""
    return value if type(value) is kind else None


@given(st.integers() | st.floats() | st.booleans() | numerals | st.none())
def test_integers_are_those_of_pydantic(value: object) -> None:
    # Pydantic 2.14 drops leading zeros first: "0-5" is -5 there, and "0__5" is 5; here they are
    # no integers (findings/pydantic_zeros_before_minus.sh).
    assume(not (isinstance(value, str) and re.match(r"\s*[+-]?0+[^0-9.]", value)))
    assert ours(to_integer(value), int) == lax(INTEGER, value)


@pytest.mark.parametrize(
    "value",
    [
        *("1", " 1 ", "+1", "-1", "01", "1.0", "1.00", "1_000", "1.5", "1.", ".0", "1e2", "0x1"),
        *("_1", "1__0", "", " ", "ten", 1.0, 1.5, True, False, [], {}, math.inf, math.nan),
    ],
    ids=repr,
)
def test_integers_by_example(value: object) -> None:
    assert ours(to_integer(value), int) == lax(INTEGER, value)


@pytest.mark.parametrize("value", [0, 1, 2, -1, 0.0, -0.0, 1.0, 0.5, True, False, None, [], {}])
def test_booleans_are_those_of_pydantic(value: object) -> None:
    found = lax(BOOLEAN, value)
    assert ours(to_boolean(value), bool) is found


@given(st.sampled_from(sorted(BOOLEANS)), st.booleans())
def test_words_for_booleans_are_those_of_pydantic(word: str, upper: bool) -> None:
    assert lax(BOOLEAN, word.upper() if upper else word) is BOOLEANS[word]


@pytest.mark.parametrize("word", ["", "2", " true", "yep", "null", "none", "END"])
def test_other_words_are_no_booleans(word: str) -> None:
    assert word.lower() not in BOOLEANS
    assert lax(BOOLEAN, word) is None
