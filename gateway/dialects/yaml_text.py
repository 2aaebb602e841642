"""YAML of a JSON object, as PyYAML's `safe_dump` writes it, with the keys in their order.

Unlike the default of PyYAML, long lines stay whole and letters of all languages are written as they
are (`width=inf`, `allow_unicode=True`): a model reads words, not escapes. A test compares the rest
with PyYAML itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

_INDENT = 2
_LONGEST_KEY = 122  # of a key before its colon; a longer one has a line of its own

_BREAKS = "\n\x85\u2028\u2029"
_SPACES = f"\\0 \\t\\r{_BREAKS}"
_BREAK = re.compile(f"[{_BREAKS}]+")
_SPECIAL = re.compile(
    "[^\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010fffe]"
    f"| [{_BREAKS}]|[{_BREAKS}] "
)
"""Texts with these need double quotes."""

_INDICATORS = re.compile(
    rf"---|\.\.\.|[#,\[\]{{}}&*!|>'\"%@`]|[?:-](?:[{_SPACES}]|\Z)"  # at the start
)
_INDICATORS_INSIDE = re.compile(rf":(?:[{_SPACES}]|\Z)|[{_SPACES}]#")
_OTHER_TYPES = re.compile(
    r"""(?:
    ~ | null | Null | NULL | << | = | ! | & | \* |
    yes | Yes | YES | no | No | NO | true | True | TRUE | false | False | FALSE |
    on | On | ON | off | Off | OFF |
    [-+]? (?: 0b[01_]+ | 0[0-7_]+ | 0 | [1-9][0-9_]* | 0x[0-9a-fA-F_]+ ) |
    [-+]? [1-9][0-9_]* (?: :[0-5]?[0-9] )+ |
    [-+]? [0-9][0-9_]* \. [0-9_]* (?: [eE][-+][0-9]+ )? |
    \. [0-9][0-9_]* (?: [eE][-+][0-9]+ )? |
    [-+]? [0-9][0-9_]* (?: :[0-5]?[0-9] )+ \. [0-9_]* |
    [-+]? \. (?: inf | Inf | INF ) | \. (?: nan | NaN | NAN ) |
    [0-9]{4}-[0-9]{2}-[0-9]{2} |
    [0-9]{4} - [0-9][0-9]? - [0-9][0-9]? (?: [Tt] | [ \t]+ )
    [0-9][0-9]? : [0-9]{2} : [0-9]{2} (?: \.[0-9]* )?
    (?: [ \t]* (?: Z | [-+][0-9][0-9]? (?: :[0-9]{2} )? ) )?
    )""",
    re.VERBOSE,
)
"""Words that YAML 1.1 reads as something else than a string."""

_ESCAPED = re.compile('["\\\\\x85\u2028\u2029\ufeff]|[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd]')
_ESCAPES = {
    "\0": "0",
    "\x07": "a",
    "\b": "b",
    "\t": "t",
    "\n": "n",
    "\v": "v",
    "\f": "f",
    "\r": "r",
    "\x1b": "e",
    '"': '"',
    "\\": "\\",
    "\x85": "N",
    "\u2028": "L",
    "\u2029": "P",
}


def yaml_lines(fields: Mapping[str, object]) -> Iterator[str]:
    """Yield the lines of an object of plain values, without the newlines between them."""
    yield from _mapping(fields, 0, "") if fields else ("{}",)


def _mapping(fields: Mapping[str, object], indent: int, lead: str) -> Iterator[str]:
    """Yield the lines of an object; `lead` is before the first, and spaces before the others."""
    for key, value in fields.items():
        is_simple = 0 < len(key) <= _LONGEST_KEY and not _BREAK.search(key)
        if is_simple:
            yield from _after_key(f"{lead}{_text(key, indent)}:", value, indent)
        else:
            yield f"{lead}? {_text(key, indent)}"
            yield from _item(f"{' ' * indent}: ", value, indent)
        lead = " " * indent


def _after_key(head: str, value: object, indent: int) -> Iterator[str]:
    """Yield the lines of a value that stands behind its key."""
    if isinstance(value, Mapping) and value:
        yield head
        yield from _mapping(value, indent + _INDENT, " " * (indent + _INDENT))
    elif isinstance(value, list) and value:
        yield head
        yield from _sequence(value, indent, " " * indent)
    else:
        yield f"{head} {_scalar(value, indent)}"


def _sequence(items: Sequence[object], indent: int, lead: str) -> Iterator[str]:
    for item in items:
        yield from _item(f"{lead}- ", item, indent)
        lead = " " * indent


def _item(lead: str, value: object, indent: int) -> Iterator[str]:
    """Yield the lines of a value that begins on the line of its indicator."""
    if isinstance(value, Mapping) and value:
        yield from _mapping(value, indent + _INDENT, lead)
    elif isinstance(value, list) and value:
        yield from _sequence(value, indent + _INDENT, lead)
    else:
        yield lead + _scalar(value, indent)


def _scalar(value: object, indent: int) -> str:
    if isinstance(value, str):
        return _text(value, indent)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        number = repr(value)
        return number if "." in number else number.replace("e", ".0e", 1)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return "null" if value is None else str(value)


def _text(text: str, indent: int) -> str:
    """Return a text as it is if YAML reads it as this text, or else in quotes."""
    if _SPECIAL.search(text):
        return f'"{_ESCAPED.sub(_escape, text)}"'
    is_plain = text and text.strip(f" {_BREAKS}") == text and not _BREAK.search(text)
    if is_plain and not _means_more(text):
        return text
    margin = " " * (indent + _INDENT)
    quoted = text.replace("'", "''")
    return f"'{_BREAK.sub(lambda found: _broken(found[0]) + margin, quoted)}'"


def _means_more(text: str) -> bool:
    """Return whether a text on one line would be read as another type, or as structure."""
    return bool(
        _OTHER_TYPES.fullmatch(text)
        or _INDICATORS.match(text)
        or _INDICATORS_INSIDE.search(text, 1 if text[0] == ":" else 0)
    )


def _broken(breaks: str) -> str:
    """Return breaks as they are within quotes, where YAML reads a single newline as a space."""
    return f"\n{breaks}" if breaks[0] == "\n" else breaks


def _escape(found: re.Match[str]) -> str:
    letter = found[0]
    if letter in _ESCAPES:
        return f"\\{_ESCAPES[letter]}"
    number = ord(letter)
    for bits, mark, digits in ((8, "x", 2), (16, "u", 4)):
        if number < 1 << bits:
            return f"\\{mark}{number:0{digits}X}"
    return f"\\U{number:08X}"
