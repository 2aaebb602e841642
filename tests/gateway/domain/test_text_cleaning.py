"""Cleaners do what their names say, and know where each character came from."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.text_cleaning import CLEANERS, Cleaner, cleaned, source_span

ALL = tuple(CLEANERS)
MARKUP = ["<p>", "</p>", "<b>", " ", "\n", "&amp;", "&lt;p&gt;", "&nosuch;", "<!-- x -->", "x<y"]
LETTERS = [
    "a",
    "é",
    "e\u0301",
    "и\u0306",
    "か\u3099",
    "ﬁ",
    "①",
    "，",
    "中",
    "한",
    "\u1112\u1161\u11ab",
]
PIECES = st.sampled_from([*MARKUP, *LETTERS, "\u1112\u1161\u11ab", "\u200b", "\u200d"])
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=30).map("".join)


@pytest.mark.parametrize(
    ("cleaner", "text", "expected"),
    [
        ("html", "<h1>Tom &amp; Jerry</h1>", "Tom & Jerry"),
        ("html", "1 &lt; 2 &#8212; &#x43f;&nbsp;&eacute;", "1 < 2 — п é"),
        ("html", "&lt;p&gt;shown&lt;/p&gt;", "<p>shown</p>"),
        ("html", "AT&T; R&D &copy 2020 &nosuch;", "AT&T; R&D &copy 2020 &nosuch;"),
        ("zero-width", "pass\u200bword\ufeff so\u00adft \u202eright", "password soft right"),
        ("zero-width", "a\tb\r\nc\x0bd\x07e\x7f", "a\tb\r\ncde"),
        ("zero-width", "p\u200dass, but می\u200cخواهم", "pass, but می\u200cخواهم"),
        ("nfkc", "ﬁne ① Ｆｕｌｌ ㎏ e\u0301", "fine 1 Full kg é"),
        ("nfkc", "中文，好", "中文,好"),
    ],
)
def test_a_cleaner_alone(cleaner: Cleaner, text: str, expected: str) -> None:
    assert cleaned(text, [cleaner]) == expected
    assert cleaned(expected, [cleaner]) == expected or cleaner == "html"


def test_cleaners_have_one_order() -> None:
    text = "<p>ﬁ&#8203;ne</p>"
    assert cleaned(text, ALL) == cleaned(text, ALL[::-1]) == "fine"


def test_a_text_without_work_is_the_same_object() -> None:
    text = "plain words, простые слова"
    assert cleaned(text, ALL) is text
    assert cleaned("<p>", ()) == "<p>"


@given(TEXTS)
@settings(deadline=None)
def test_nfkc_in_parts_is_nfkc(text: str) -> None:
    assert cleaned(text, ["nfkc"]) == unicodedata.normalize("NFKC", text)


def test_parts_of_a_long_text_are_cut_where_nothing_composes() -> None:
    unit = "e\u0301\u0301и\u0306か\u3099ﬁ한\u1100\u1161中\u0302 "
    for lead in range(len(unit)):
        text = "x" * lead + unit * 10_000
        assert cleaned(text, ["nfkc"]) == unicodedata.normalize("NFKC", text)


@given(TEXTS)
@settings(deadline=None)
def test_every_character_comes_from_some_of_the_text_in_order(text: str) -> None:
    made = cleaned(text, ALL)
    spans = [source_span(text, ALL, (at, at + 1)) for at in range(len(made))]
    for (start, end), character in zip(spans, made, strict=True):
        assert 0 <= start < end <= len(text)
        if end - start == 1 and text[start].isascii() and text[start].isalnum():
            assert character == text[start]
    assert spans == sorted(spans)


def test_the_span_of_a_passage_is_that_of_its_first_and_last_character() -> None:
    text = "<p>One &amp; ﬁve</p><p>two</p>"
    made = cleaned(text, ALL)
    assert made == "One & five\ntwo"
    passage = made.index("&"), made.index("\n")
    assert text[slice(*source_span(text, ALL, passage))] == "&amp; ﬁve"
    assert source_span(text, ALL, (0, 0)) == (3, 3)
    assert source_span("", ALL, (0, 0)) == (0, 0)
