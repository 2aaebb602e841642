"""Spellings of paths: one rule, and the table of what it makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import DIALECTS, PATHS, Dialect, dialect_of, match_path, squeezed
from gateway.dialects.cohere import V2
from gateway.dialects.infinity import INFINITY
from gateway.dialects.jina import JINA
from gateway.dialects.mixedbread import MIXEDBREAD
from gateway.dialects.native import NATIVE, PAIRS
from gateway.dialects.nim import NIM
from gateway.dialects.paths import VENDORS
from gateway.dialects.tei import TEI
from gateway.dialects.vllm import VLLM_SCORE
from gateway.dialects.voyage import VOYAGE

SPELLINGS = [
    # slashes
    ("/v1/rerank/", "/v1/rerank"),
    ("//v1//rerank//", "/v1/rerank"),
    ("/v1//rerank", "/v1/rerank"),
    ("/tei/rerank/", "/tei/rerank"),
    ("//", "/"),
    # behind a prefix
    ("/openai/v1/rerank", "/v1/rerank"),
    ("/v3/rerank", "/rerank"),
    ("/api/v1/rerank", "/v1/rerank"),
    ("/api/v1/rerank/", "/v1/rerank"),
    ("/providers/cohere/v2/rerank", "/cohere/v2/rerank"),
    ("/v2/v2/rerank", "/v2/rerank"),
    ("/v1/v1/v1/rerank", "/v1/v1/rerank"),
    ("/any/voyage/v1/rerank", "/voyage/v1/rerank"),
    ("/a/../b/%2e/v1/score", "/v1/score"),
    # a vendor's prefix wins
    ("/voyage/openai/v1/rerank", "/voyage/v1/rerank"),
    ("/voyage/v2/rerank", "/voyage/rerank"),
    ("/tei/v1/rerank", "/tei/rerank"),
    ("/cohere/voyage/v2/rerank", "/cohere/v2/rerank"),
    ("//infinity//v3/rerank", "/infinity/rerank"),
]


@pytest.mark.parametrize(("path", "means"), SPELLINGS)
def test_spellings(path: str, means: str) -> None:
    assert match_path(path) is PATHS[means]


@pytest.mark.parametrize(
    "path",
    [
        *("", "/v1", "rerank", "v1/rerank", "/rerankx", "/v1/rerank/x", "/xrerank", "/v1/RERANK"),
        *("/models", "/models/", "/models//", "/models/a", "/models/rerank", "/models//rerank"),
        *("/x/models/rerank", "/mixedbread/v1/rerank", "/cohere/score", "/voyage/", "/tei"),
        *("/admin/v1/rerank", "/admin/rerank", "//admin//rerank", "/admin/models/a/rerank"),
        "/voyage/models/a/",
    ],
)
def test_paths_that_take_no_request(path: str) -> None:
    assert match_path(path) is None


@pytest.mark.parametrize(
    ("path", "model", "means"),
    [
        ("/rerank", None, "/rerank"),
        ("/models/a/rerank", "a", "/rerank"),
        ("/models/a/b/v1/rerank", "a/b", "/v1/rerank"),
        ("/models/v1/v1/rerank", "v1", "/v1/rerank"),
        ("/models/rerank/rerank", "rerank", "/rerank"),
        ("/models/voyage/rerank", "voyage", "/rerank"),
        ("/models/a/", "a", "/"),
        ("/models/a/tei/rerank", "a", "/tei/rerank"),
        ("/models/a//rerank", "a", "/rerank"),
        ("/models/a/b//v1/rerank/", "a/b", "/v1/rerank"),
        ("/models/models/a/rerank", "models/a", "/rerank"),
        ("/api/models/a/b/rerank", "a/b", "/rerank"),
        ("/v1/models/a/rerank", "a", "/rerank"),
        ("/voyage/models/a/v1/rerank", "a", "/voyage/v1/rerank"),
        ("/v1/retrieval/nvidia/reranking", None, "/v1/ranking"),
        ("/x/v1/retrieval/nvidia/reranking", None, "/v1/ranking"),
        ("/v1/retrieval/nvidia/a-1b-v2/reranking", "nvidia/a-1b-v2", "/v1/ranking"),
        ("/retrieval/v1/reranking", None, "/v1/reranking"),
    ],
)
def test_model_in_the_path(path: str, model: str | None, means: str) -> None:
    found = match_path(path)
    assert found is not None
    assert found.model == model
    assert (found.dialect, found.is_shared) == (PATHS[means].dialect, PATHS[means].is_shared)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_found_in_every_spelling(path: str) -> None:
    assert match_path(path) is PATHS[path]
    if path != "/":
        for spelling in (f"{path}/", f"/{path}", path.replace("/", "//")):
            assert match_path(spelling) is PATHS[path]
        assert match_path(f"/some/where{path}") == PATHS[path]


words = st.sampled_from([*"/./", "v1", "models", "rerank", "admin", "a", "..", *VENDORS, "//"])
paths = st.lists(words | st.text(max_size=3), max_size=12).map("/".join)


@given(path=paths)
def test_any_path(path: str) -> None:
    found = match_path(path)
    if squeezed(path).startswith("/admin/"):
        assert found is None
    elif found is not None:
        assert found.model != ""
        vendor = f"/{squeezed(path).split('/')[1]}"
        own = {served.dialect for known, served in PATHS.items() if known.startswith(vendor)}
        assert vendor not in VENDORS or found.dialect in own


def test_long_paths_cost_no_more_than_their_slashes() -> None:
    assert match_path("/" * 60_000 + "v1/rerank") is PATHS["/v1/rerank"]
    assert match_path("/a" * 30_000 + "/v1/rerank") is PATHS["/v1/rerank"]
    assert match_path("/models/" + "a/" * 30_000 + "nothing") is None


@pytest.mark.parametrize(
    ("path", "keys", "dialect"),
    [
        ("/rerank", set(), NATIVE),
        ("/rerank", {"texts"}, TEI),
        ("/v2/rerank", {"texts"}, TEI),
        ("/rerank", {"texts", "documents"}, NATIVE),
        ("/rerank", {"pairs"}, PAIRS),
        ("/v1/rerank", {"documents", "top_k"}, JINA),
        ("/tei/rerank", set(), TEI),
        ("/v1/reranking", {"input"}, MIXEDBREAD),
        ("/v1/reranking", {"documents"}, JINA),
        ("/v1/reranking", {"passages"}, NIM),
        ("/reranking", {"passages", "documents"}, JINA),
        ("/v1/rerank", {"passages"}, JINA),
        ("/v2/rerank", {"input", "documents"}, V2),
        ("/infinity/rerank", {"texts"}, INFINITY),
        ("/cohere/v2/rerank", {"pairs"}, V2),
        ("/score", {"queries", "items"}, VLLM_SCORE),
        ("/", set(), NATIVE),
        ("/", {"texts"}, TEI),
        ("/models/org/name/rerank", {"texts"}, TEI),
        ("/models/org/name/voyage/rerank", {"texts"}, VOYAGE),
        ("/elsewhere", set(), JINA),
    ],
)
def test_dialect_of(path: str, keys: set[str], dialect: Dialect) -> None:
    assert dialect_of(path, frozenset(keys)) is dialect


def test_names_of_dialects_differ() -> None:
    paths = (path.dialect for path in PATHS.values())
    assert len({dialect.name for dialect in (*DIALECTS, *paths)}) == len(DIALECTS)
    assert len(set(DIALECTS)) == len(DIALECTS)
