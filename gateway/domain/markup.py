"""The markup of HTML in a text: where it lies, and the white space that stands for it. Pure.

Only elements of HTML count, so that `vector<int>` and `a < b` stay text. A tag ends before the next
`<`, an element that is not read before the next one of its kind, and a comment before the next
comment: so each character is looked at a fixed number of times, whatever is left open.
"""

import re
import string
from collections.abc import Iterator

Edit = tuple[int, int, str]
"""The characters of a text from the first to before the second place, and what replaces them."""

_SPACE = " "
_BLOCK_NAMES = (
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main menu nav "
    "ol optgroup option p pre section select summary table tbody tfoot thead title tr ul"
)
_OTHER_NAMES = (
    "a abbr acronym area audio b base bdi bdo big button canvas cite code col colgroup data "
    "datalist del dfn em embed font i iframe img input ins kbd label link map mark meta meter "
    "noscript object output param picture progress q rp rt ruby s samp small source span strike "
    "strong sub sup svg textarea time tt u use var video wbr"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_CELLS = frozenset(("td", "th", _SPACE))
_UNREAD = ("script", "style", "template")
_NAMES = "|".join((*_BLOCK_NAMES.split(), "td", "th", *_OTHER_NAMES.split(), *_UNREAD))
_TAG = re.compile(
    rf"<(/?)({_NAMES})(?=[\s/>])(?:(?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+>|[^<>]*+>)"
    r"|<(?:!doctype|\?xml)\b[^<>]*+>",
    re.IGNORECASE,
)
_UNREAD_TAGS = {name: re.compile(rf"<(/?){name}[\s/>]", re.IGNORECASE) for name in _UNREAD}
_SPACES = re.compile(r"\s+")
_COMMENT, _COMMENT_END = "<!--", "-->"
_AFTER_BRACKET = frozenset("/!?" + string.ascii_letters)


def without_markup(text: str) -> Iterator[Edit]:
    """Yield the markup of a text, with the white space around it, and what it leaves."""
    end, at = 0, text.find("<")
    while at >= 0:
        behind, marks = _run(text, at) if text[at + 1 : at + 2] in _AFTER_BRACKET else (at, set())
        if behind > at:
            start = max(end, _before_space(text, end, at))
            marks |= {_SPACE} if start < at else set()
            yield start, behind, "" if start == 0 or behind == len(text) else _left(marks)
            end = behind
        at = text.find("<", max(behind, at + 1))


def _run(text: str, at: int) -> tuple[int, set[str]]:
    """Return the place behind the markup that begins here, the names of its tags, and `_SPACE`.

    The place is this one if there is no markup.
    """
    marks: set[str] = set()
    while text.startswith("<", at) and (found := _item(text, at)):
        end, name = found
        spaces = _SPACES.match(text, end)
        at = spaces.end() if spaces else end
        marks |= {name, _SPACE} if at > end else {name}
    return at, marks


def _item(text: str, at: int) -> tuple[int, str] | None:
    """Return the place behind one comment, tag, or element that is not read; and its name."""
    if text.startswith(_COMMENT, at):
        inner = at + len(_COMMENT)
        following = text.find(_COMMENT, inner)
        end = text.find(_COMMENT_END, inner, following if following >= 0 else len(text))
        return (end + len(_COMMENT_END), "") if end >= 0 else None
    tag = _TAG.match(text, at)
    if tag is None:
        return None
    name = (tag[2] or "").lower()
    tags = None if tag[1] else _UNREAD_TAGS.get(name)
    other = tags.search(text, tag.end()) if tags else None
    end = text.find(">", other.end() - 1) if other and other[1] else -1
    return (end + 1, name) if end >= 0 else (tag.end(), name)


def _before_space(text: str, least: int, at: int) -> int:
    while at > least and text[at - 1].isspace():
        at -= 1
    return at


def _left(marks: set[str]) -> str:
    """Return the white space that stands for tags."""
    if marks & _BLOCKS:
        return "\n"
    return " " if marks & _CELLS else ""
