"""The fake engine follows its source, and its margins are computable in advance."""

import struct
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.engines import load_engine
from shards.engines.fake import FakeEngine, load, margin, parse_options
from shards.pairs import QueryTooLong
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec


def spec_of(source: str = "fake", **settings: Any) -> ShardSpec:
    return replace(ShardSpec(name="m/cpu", model="m", source=source, engine="fake"), **settings)


def engine_of(source: str = "fake", **settings: Any) -> FakeEngine:
    return load(spec_of(source, **settings), lambda line: None)


@given(query=st.text(), document=st.text())
def test_margins_survive_fp32_and_the_way_through_token_ids(query: str, document: str) -> None:
    engine = engine_of()
    pairs = engine.tokenizer.tokenize(query, [document], instruction="", max_document_tokens=0)
    expected = margin(query, document)
    assert engine.score(pairs) == [expected]
    assert struct.unpack("<f", struct.pack("<f", expected)) == (expected,)
    assert -8 <= expected < 8


def test_margins_are_the_same_in_every_process_and_differ_between_pairs() -> None:
    assert margin("query", "document") == 2.041243553161621
    assert margin("query", "other") != margin("query", "document")
    assert margin("a", "b") != margin("ab", "")


def test_words_are_counted_as_tokens_and_cut() -> None:
    tokenize = engine_of(max_length=6).tokenizer.tokenize
    texts = ["one", "a b c d e"]
    short, long = tokenize("two words", texts, instruction="i", max_document_tokens=0)
    assert (len(short), short.truncated) == (4, False)
    assert (len(long), long.truncated) == (6, True)
    (cut,) = tokenize("q", ["a b c"], instruction="", max_document_tokens=2)
    assert (len(cut), cut.truncated) == (4, True)
    with pytest.raises(QueryTooLong):
        tokenize("a b c d e", ["d"], instruction="", max_document_tokens=0)


def test_options_that_are_not_given_are_zero() -> None:
    unset = parse_options("fake")
    assert {"delay_ms", "load_ms", "refuse", "crash_on_load"} <= unset.keys()
    assert set(unset.values()) == {0}
    given = {"delay_ms": 5, "load_ms": 200, "refuse": 78, "crash_on_load": 1}
    options = parse_options("fake?delay_ms=5&load_ms=200&refuse=78&crash_on_load=1")
    assert options == unset | given


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("fake?delay=5", "'delay' is unknown; use delay_ms, load_ms, refuse, crash_on_load"),
        ("fake?delay_ms=-5", "delay_ms is '-5'; a number, 0 or more, is expected"),
        ("fake?delay_ms=", "delay_ms is ''"),
        ("fake?refuse=3", "refuse=3 is not an exit code of a shard"),
    ],
)
def test_a_wrong_option_is_refused(source: str, message: str) -> None:
    with pytest.raises(Refusal) as refusal:
        engine_of(source)
    assert message in str(refusal.value)
    assert refusal.value.exit_code is ExitCode.SPEC


def test_it_refuses_on_request() -> None:
    with pytest.raises(Refusal) as refusal:
        load_engine(spec_of("fake?refuse=66"), lambda line: None)
    assert refusal.value.exit_code is ExitCode.MODEL


def test_it_needs_no_model_library() -> None:
    code = (
        "import sys; from shards.engines import load_engine;"
        "from shards.wire.spec import ShardSpec;"
        "load_engine(ShardSpec(name='m', model='m', source='fake', engine='fake'), print);"
        "assert not {'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_crashes_on_request() -> None:
    code = (
        "from shards.engines import load_engine; from shards.wire.spec import ShardSpec;"
        "load_engine(ShardSpec(name='m', model='m', source='fake?crash_on_load=1', engine='fake'),"
        " print)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1
