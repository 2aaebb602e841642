"""Markup is found in HTML, and nowhere else."""

import pytest

from gateway.domain.markup import without_markup


def left(text: str) -> str:
    """Return a text without its markup."""
    pieces, end = [], 0
    for start, behind, made in without_markup(text):
        assert end <= start < behind
        pieces += [text[end:start], made]
        end = behind
    return "".join((*pieces, text[end:]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>One</p>  <p>two</p>", "One\ntwo"),
        ("an <b>old</b> <i>word</i>", "an old word"),
        ("O<sub class='x y'>2</sub> is gas", "O2 is gas"),
        ("<tr><td>a</td><td>b</td></tr>", "a b"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<a href='x>y' title=\"a > b\">link</a>", "link"),
        ("<P CLASS=x>Upper</P>", "Upper"),
        ("<!DOCTYPE html><html><body>text</body></html>", "text"),
        ("a<!-- <p>not this</p> -->b", "ab"),
        ("a <script>if (1<2) {'</p>'}</script> b", "a b"),
        ("a<style type='x'>p {}</style >b", "ab"),
        ("<td\n>cell</td>", "cell"),
    ],
)
def test_markup_becomes_the_white_space_that_a_reader_sees(text: str, expected: str) -> None:
    assert left(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "a<b",
        "vector<int> and Map<String, List<T>>",
        "if x<y: return <unknown>",
        "  indented\n\n    code  ",
        "<!-- left open",
        "<p left open",
        "<",
        "",
        "< p>",
        "<pine>",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert left(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>let a = 1", "let a = 1"),
        ("a<script>b<script>c</script>d", "abd"),
        ("<!-- a <!-- b --> c", "<!-- a c"),
        ("<a title='it's'>x</a>", "x"),
    ],
)
def test_what_is_left_open_hides_nothing_behind_it(text: str, expected: str) -> None:
    assert left(text) == expected
