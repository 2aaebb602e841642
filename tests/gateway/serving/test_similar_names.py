"""Names that differ in case or owner: one meaning, or none."""

import pytest

from gateway.serving.similar_names import similar_name

NAMES = {
    "BAAI/bge-reranker-v2-m3": "BAAI/bge-reranker-v2-m3",
    "bge": "BAAI/bge-reranker-v2-m3",
    "org/small": "org/small",
    "other/small": "other/small",
    "Large": "Large",
    "mirror/large": "Large",
    "Twice": "a",
    "TWICE": "b",
}


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("baai/BGE-reranker-v2-m3", "BAAI/bge-reranker-v2-m3"),
        ("bge-reranker-v2-m3", "BAAI/bge-reranker-v2-m3"),
        ("mirror/hub/bge-reranker-v2-M3", "BAAI/bge-reranker-v2-m3"),
        ("BGE", "BAAI/bge-reranker-v2-m3"),
        ("any/bge", "BAAI/bge-reranker-v2-m3"),
        ("ORG/SMALL", "org/small"),
        ("small", None),
        ("third/small", None),
        ("LARGE", "Large"),
        ("my/large", "Large"),
        ("twice", None),
        ("bge-reranker-v2", None),
        ("", None),
        ("/", None),
        ("x" * 10_000_000 + "/bge", None),
    ],
)
def test_similar_names(name: str, meaning: str | None) -> None:
    assert similar_name(name, NAMES) == meaning
