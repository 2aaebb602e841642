"""Integers and booleans in the spellings that pydantic accepts in lax mode.

Servers built on FastAPI (vLLM, infinity) accept `"top_n": "1"`, `1.0` and `"return_documents": 1`,
so their clients send these. A test compares the rules with pydantic itself.
"""

import re

BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
"""Words for booleans, in lower case; clients may use any case."""

_INTEGER = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*(?:\.0+)?")
_LONGEST_INTEGER = 4300  # digits that Python converts, and a limit of pydantic, too
_LARGEST_FRACTION = 2.0**63


def to_integer(value: object) -> object:
    """Return an integer for a value that means one, any other value unchanged."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_FRACTION:
        return int(value)
    if isinstance(value, str) and len(value) <= _LONGEST_INTEGER:
        text = value.strip()
        return int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else value
    return value


def to_boolean(value: object) -> object:
    """Return a boolean for 0, 1 and their fractions, any other value unchanged."""
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else value
