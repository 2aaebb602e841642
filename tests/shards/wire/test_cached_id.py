"""Folders in the caches of hubs, as `huggingface_hub` 2.4 and `modelscope` 1.40 make them."""

from pathlib import Path

import pytest

from shards.wire.cached_id import cached_id


@pytest.mark.parametrize(
    ("folder", "id"),
    [
        ("/hub/models--Qwen--Qwen3-Reranker-0.6B/snapshots/0a1b", "Qwen/Qwen3-Reranker-0.6B"),
        ("/hub/models--gpt2/snapshots/0a1b", "gpt2"),
        ("/ms/models/Qwen--Qwen3-Reranker-0.6B/snapshots/master", "Qwen/Qwen3-Reranker-0.6B"),
        ("/ms/models/a--b--c/snapshots/v1.0", "a/b--c"),
        ("/ms/hub/models/Qwen/Qwen3-Reranker-0___6B", "Qwen/Qwen3-Reranker-0.6B"),
        ("/ms/hub/models/Qwen/Qwen3", ""),
        ("/srv/Qwen/Qwen3-Reranker-0___6B", ""),
        ("/hub/models--a--b/snapshots", ""),
        ("/hub/models--a--b", ""),
        ("/backups/snapshots/monday", ""),
        ("/models/Qwen--Qwen3-Reranker-0.6B", ""),
        ("/snapshots/x", ""),
        ("/", ""),
    ],
)
def test_the_id_of_a_snapshot(folder: str, id: str) -> None:
    assert cached_id(Path(folder)) == id
