"""Names and sources of models in one text."""

from pathlib import Path

import pytest

from gateway.domain.model_source import parse_model


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("Qwen/Qwen3-Reranker-0.6B", "Qwen/Qwen3-Reranker-0.6B", "Qwen/Qwen3-Reranker-0.6B"),
        ("dity=DiTy/cross-encoder", "dity", "DiTy/cross-encoder"),
        ("a=/models/b=c", "a", "/models/b=c"),
        ("/models/bge v2", "bge-v2", "/models/bge v2"),
        ("/models/b=c", "b-c", "/models/b=c"),
        ("./here/model/", "model", "./here/model/"),
        ("embedded:bert", "embedded-bert", "embedded:bert"),
        ("embedded", "embedded", "embedded"),
        ("small=embedded:bert", "small", "embedded:bert"),
        ("fake?delay_ms=5", "fake?delay_ms", "5"),
    ],
)
def test_a_model_is_a_source_with_or_without_a_name(text: str, name: str, source: str) -> None:
    assert parse_model(text) == (name, source)


def test_the_name_of_a_folder_is_its_last_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models/bge").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_model("models/bge") == ("bge", "models/bge")
    assert parse_model(".")[0] == tmp_path.name


def test_the_name_of_a_snapshot_in_a_cache_is_the_id_of_its_model(tmp_path: Path) -> None:
    for kind in ("", "models--"):
        folder = tmp_path / f"{kind}Qwen--Qwen3-Reranker-0.6B" / "snapshots" / "master"
        folder.mkdir(parents=True)
        assert parse_model(str(folder)) == ("Qwen/Qwen3-Reranker-0.6B", str(folder))


def test_the_name_of_a_gguf_file_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "blob").touch()
    path = tmp_path / "Qwen3-Reranker-0.6B-Q8_0.gguf"
    path.symlink_to(tmp_path / "blob")
    assert parse_model(str(path)) == ("Qwen3-Reranker-0.6B-Q8_0", str(path))
