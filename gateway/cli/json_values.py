"""Values of a JSON file of any size, read one by one: the items of an array, or values in a row.

So much of the file is held as the largest value needs, and at most `MOST_VALUE_CHARACTERS`.
"""

import codecs
import json
from collections.abc import Iterator
from typing import IO

MOST_VALUE_CHARACTERS = 64 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_SPACES = " \t\r\n"


class BadJson(Exception):
    """A file that is no JSON, from a place on; the message has the reason."""


def json_values(stream: IO[bytes]) -> Iterator[str]:
    """Yield the text of each item of an array, or of each value of a file without an array.

    Raises:
        BadJson: the file is not UTF-8, a value is no JSON or too large, or the array has no end.
    """
    text = _Text(stream)
    try:
        if text.next_is("["):
            text.skip()
            yield from _items(text)
        while text.peek():
            yield text.value()
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8 ({error.reason})") from None


def _items(text: "_Text") -> Iterator[str]:
    """Yield the items of an array whose bracket was read, up to its end and that of the file."""
    is_first = True
    while not text.next_is("]"):
        if not is_first:
            if not text.next_is(","):
                raise BadJson("a comma or the end of the array is missing")
            text.skip()
        yield text.value()
        is_first = False
    text.skip()
    if text.peek():
        raise BadJson("there is more text after the end of the array")


class _Text:
    """The part of a file that was read and not yet used."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACES:
                self._at += 1
            if self._at < len(self._text) or not self._read():
                return self._text[self._at : self._at + 1]

    def next_is(self, character: str) -> bool:
        """Return whether this is the next character that is no space."""
        return self.peek() == character

    def skip(self) -> None:
        """Use one character."""
        self._at += 1

    def value(self) -> str:
        """Return the text of the next value."""
        self.peek()
        while True:
            try:
                _, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._read():  # a number may go on
                    found = self._text[self._at : end]
                    self._at = end
                    return found
            except (json.JSONDecodeError, RecursionError) as error:
                if not self._read():
                    reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
                    raise BadJson(f"not JSON ({reason})") from None

    def _read(self) -> bool:
        """Read on, as much again as is held: so a long value is parsed a few times at most."""
        held = len(self._text) - self._at
        if held > MOST_VALUE_CHARACTERS:
            raise BadJson(
                f"not JSON, or longer than the limit of {MOST_VALUE_CHARACTERS} characters"
            )
        raw = self._stream.read(max(_CHUNK_BYTES, held))
        more = self._utf8.decode(raw, final=not raw)
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(raw)
