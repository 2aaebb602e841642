"""Keys of pairs: equal exactly where a model reads the same texts in the same way."""

from dataclasses import fields, replace
from typing import Any

import pytest
from msgspec import structs

from gateway.config import ModelSpec
from gateway.domain.request import Document, LongDocuments, RerankRequest
from gateway.serving.score_cache.pair_keys import pair_keys, scoring_identity
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec

IDENTITY, SECRET = b"identity", b"secret"
READING = LongDocuments()
REQUEST = RerankRequest(queries=("query",), documents=(Document("a"), Document("b")))
SHARD = ShardSpec(name="m/cpu:0", model="m", source="folder")
SPEC = ModelSpec(name="m", aliases=(), default=True, source="folder", shards=(SHARD,))
FACTS = Facts(engine="fake", device="cpu", dtype="fp32", max_length=512, token_budget=4096)


def keys(request: RerankRequest = REQUEST, **changed: Any) -> list[bytes]:
    asked: dict[str, Any] = {"reading": READING, "identity": IDENTITY, "secret": SECRET} | changed
    return list(pair_keys(request, **asked))


def test_equal_pairs_have_equal_keys() -> None:
    first, second = keys()
    assert first != second
    assert keys(structs.replace(REQUEST, documents=REQUEST.documents[::-1])) == [second, first]
    twice = structs.replace(REQUEST, documents=REQUEST.documents * 2)
    assert keys(twice) == [first, second] * 2


def test_a_pair_is_the_same_in_every_form_of_request() -> None:
    own = structs.replace(REQUEST, queries=("query", "query"))
    assert keys(own) == keys()
    instructed = structs.replace(REQUEST, instruction="find")
    each = structs.replace(REQUEST, instruction="other", instructions=("find", "find"))
    assert keys(each) == keys(instructed)


@pytest.mark.parametrize(
    "change",
    [
        {"queries": ("quer",)},
        {"instruction": "y"},
        {"max_tokens_per_doc": 5},
        {"max_tokens_per_pair": 5},
        {"max_tokens_per_query": 5},
        {"keep_end": True},
        {"documents": (Document("A"), Document("b "))},
    ],
)
def test_all_that_a_request_can_change_about_a_score_changes_the_keys(
    change: dict[str, Any],
) -> None:
    assert not set(keys(structs.replace(REQUEST, **change))) & set(keys())


@pytest.mark.parametrize(
    "change",
    [
        {"top_n": 1},
        {"return_documents": True},
        {"raw_scores": True},
        {"return_details": True},
        {"model": "alias"},
        {"documents": (Document("a", {"text": "a", "id": 1}), Document("b"))},
    ],
)
def test_the_form_of_the_reply_changes_no_key(change: dict[str, Any]) -> None:
    assert keys(structs.replace(REQUEST, **change)) == keys()


def test_texts_cannot_be_moved_from_one_field_to_another() -> None:
    found = [
        keys(RerankRequest(queries=(query,), documents=(Document(document),), instruction=asked))
        for query, asked, document in [
            ("ab", "", "c"), ("a", "b", "c"), ("a", "", "bc"), ("", "ab", "c"), ("abc", "", ""),
        ]
    ]  # fmt: skip
    assert len({key for (key,) in found}) == len(found)


@pytest.mark.parametrize("field", [field.name for field in fields(LongDocuments)])
def test_every_setting_of_long_documents_changes_the_keys(field: str) -> None:
    other: Any = {"policy": "passages"}.get(field, 7)
    assert not set(keys(reading=replace(READING, **{field: other}))) & set(keys())


def test_identity_and_secret_change_the_keys() -> None:
    assert not set(keys(identity=b"another")) & set(keys())
    assert not set(keys(secret=b"another")) & set(keys())


@pytest.mark.parametrize(
    "facts",
    [
        {"fingerprint": "f"}, {"files": "f"}, {"dtype": "bf16"}, {"engine": "causal"},
        {"device": "cuda:0"}, {"max_length": 8}, {"activation": "identity"},
    ],
)  # fmt: skip
def test_what_decides_a_score_is_in_the_identity(facts: dict[str, Any]) -> None:
    known = scoring_identity(SPEC, FACTS, b"build")
    assert scoring_identity(SPEC, replace(FACTS, **facts), b"build") != known
    assert scoring_identity(SPEC, FACTS, b"another build") != known


@pytest.mark.parametrize(
    "shard",
    [{"instruction": "i"}, {"template": "t"}, {"guard_special_tokens": False}, {"revision": "r"}],
)
def test_what_the_operator_sets_about_a_score_is_in_the_identity(shard: dict[str, Any]) -> None:
    other = replace(SPEC, shards=(replace(SHARD, **shard),))
    assert scoring_identity(other, FACTS, b"") != scoring_identity(SPEC, FACTS, b"")


def test_names_places_and_lines_are_not_in_the_identity() -> None:
    known = scoring_identity(SPEC, FACTS, b"")
    moved = replace(SHARD, name="n/cpu:1", model="n", cores=(1,), generation=9)
    renamed = replace(SPEC, name="n", aliases=("x",), shards=(moved, SHARD))
    assert scoring_identity(renamed, replace(FACTS, notes=("slow",)), b"") == known
