"""A model comes from the hub once, whole, and without other files; offline has an instruction."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.checkpoint import FILES_NEEDED, FILES_NOT_NEEDED
from shards.engines import load_engine
from shards.wire.exit_codes import ExitCode
from tests.shards.checkpoint.hub import COMMIT, Hub
from tests.shards.checkpoint.specs import refusal_of, spec_of


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def hub(bert: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the small BERT, and beside it files that must not be fetched."""
    from huggingface_hub import constants

    files = {path.name: path.read_bytes() for path in bert.iterdir()}
    files |= {"pytorch_model.bin": b"pickled", "onnx/config.json": b"{}", "modeling.py": b"code"}
    server = Hub(files)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        server.address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_downloaded_once_and_without_what_is_not_needed(cache: Path, hub: Hub) -> None:
    lines: list[str] = []
    spec = spec_of("acme/reranker", offline=False)
    engine = load_engine(spec, lines.append)
    assert engine.facts.engine == "classifier"
    assert lines[0] == "downloading acme/reranker"
    assert any(" of " in line and line.endswith("MB") for line in lines)
    got = {
        path.name for path in (cache / "models--acme--reranker" / "snapshots" / COMMIT).iterdir()
    }
    assert got == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    hub.asked.clear()
    load_engine(spec_of("acme/reranker"), lines.append)
    load_engine(spec, lines.append)
    assert hub.asked == []


def test_a_broken_off_download_is_taken_up_again(cache: Path, hub: Hub) -> None:
    spec = spec_of("acme/reranker", offline=False)
    load_engine(spec, lambda line: None)
    snapshot = cache / "models--acme--reranker" / "snapshots" / COMMIT
    weights = (snapshot / "model.safetensors").resolve()
    (snapshot / "model.safetensors").unlink()
    weights.unlink()
    assert "gateway download acme/reranker" in str(refusal_of("acme/reranker"))
    assert load_engine(spec, lambda line: None).facts.engine == "classifier"


def test_a_name_that_the_hub_lacks_is_refused(cache: Path, hub: Hub) -> None:
    refusal = refusal_of("acme/typo", offline=False)
    assert "neither a folder nor a repository on the hub" in str(refusal)
    assert refusal.exit_code is ExitCode.MODEL


def test_an_offline_refusal_has_the_command_to_download(cache: Path) -> None:
    refusal = refusal_of("acme/reranker", offline=True)
    assert "`gateway download acme/reranker`" in str(refusal)
    assert str(cache) in str(refusal)
    assert refusal.exit_code is ExitCode.MODEL


def test_a_hub_that_cannot_be_reached_may_be_tried_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    refusal = refusal_of("acme/reranker", offline=False)
    assert "the hub cannot be reached" in str(refusal)
    assert "`gateway download acme/reranker`" in str(refusal)
    assert refusal.exit_code is ExitCode.TEMPORARY


def test_what_a_shard_needs_is_what_gateway_download_fetches() -> None:
    """Otherwise an earlier download would be refused offline as not whole."""
    from huggingface_hub.utils._paths import filter_repo_objects

    from gateway.cli.models.bundle import UNWANTED, WANTED

    names = [
        *("config.json", "model.safetensors", "model-00001-of-00002.safetensors", "vocab.txt"),
        *("model.safetensors.index.json", "tokenizer.json", "merges.txt", "1_Pooling/config.json"),
        *("sentencepiece.bpe.model", "modules.json", "pytorch_model.bin.index.json", "README.md"),
        *("onnx/config.json", "openvino/model.json", "original/params.json", "tokenizer.model"),
    ]
    needed = set(
        filter_repo_objects(
            names, allow_patterns=[*FILES_NEEDED], ignore_patterns=[*FILES_NOT_NEEDED]
        )
    )
    fetched = set(
        filter_repo_objects(names, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED))
    )
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= needed <= fetched
