"""Configurations of other servers, as ours; what is printed is loaded."""

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.config.migration import Migration, migrated, recognised, toml

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "TEI": (
        "tei",
        "text-embeddings-router --model-id BAAI/bge-reranker-v2-m3 --revision main --dtype float16 "
        "-p 8081 --hostname 127.0.0.1 --max-batch-tokens 32768 --payload-limit=4000000 "
        "--auto-truncate --json-output --max-client-batch-size 64",
        {
            "host": "127.0.0.1",
            "port": 8081,
            "log_format": "json",
            "limits": {"body_bytes": 4_000_000, "documents": 64},
            "models": {
                "BAAI/bge-reranker-v2-m3": {
                    "source": "BAAI/bge-reranker-v2-m3",
                    "revision": "main",
                    "dtype": "fp16",
                    "token_budget": 32768,
                    "long_documents": "truncate",
                }
            },
        },
    ),
    "TEI in a container": (
        "tei",
        "docker run --rm -p 8080:80 -e PORT=80 -v data:/data "
        "ghcr.io/huggingface/text-embeddings-inference:1.8 --model-id /data/bge",
        {
            "host": "0.0.0.0",
            "port": 80,
            "allow_unauthenticated": True,
            "models": {"model": {"source": "/data/bge"}},
        },
    ),
    "infinity": (
        "infinity",
        "infinity_emb v2 --model-id org/a --model-id org/b --served-model-name a "
        "--served-model-name b --device cpu --device cuda --port 7000 --no-compile",
        {
            "host": "0.0.0.0",
            "port": 7000,
            "allow_unauthenticated": True,
            "models": {
                "a": {"source": "org/a", "devices": ["cpu"]},
                "b": {"source": "org/b", "devices": ["cuda"]},
            },
        },
    ),
    "vLLM": (
        "vllm",
        "vllm serve Qwen/Qwen3-Reranker-0.6B --max-model-len 8k --max_num_batched_tokens 16384 "
        "--host 127.0.0.1 --uvicorn-log-level critical --gpu-memory-utilization 0.5",
        {
            "host": "127.0.0.1",
            "port": 8000,
            "log_level": "error",
            "models": {
                "Qwen/Qwen3-Reranker-0.6B": {
                    "source": "Qwen/Qwen3-Reranker-0.6B",
                    "max_length": 8000,
                    "token_budget": 16384,
                }
            },
        },
    ),
    "MOSEC": (
        "mosec",
        "MOSEC_PORT=9000 python server.py --address 127.0.0.1 --timeout 5000 --debug",
        {
            "host": "127.0.0.1",
            "port": 9000,
            "default_timeout_seconds": 5.0,
            "log_level": "debug",
        },
    ),
}


def _of(name: str, line: str, **environ: str) -> Migration:
    return migrated(name, shlex.split(line), environ)


@pytest.mark.parametrize("case", CASES)
def test_a_command_line_becomes_a_configuration(case: str, tmp_path: Path) -> None:
    name, line, expected = CASES[case]
    assert recognised(shlex.split(line), {}) in (name, None)
    found = _of(name, line)
    printed = toml(found)
    assert tomllib.loads(printed) == expected
    assert found.unknown == []
    (tmp_path / "gateway.toml").write_text(printed)
    assert load(tmp_path / "gateway.toml").port == expected["port"]


def test_unknown_options_and_values_are_named() -> None:
    found = _of("tei", "text-embeddings-router --model-id x --new-thing 5 --dtype float8 stray")
    assert found.unknown == ["stray", "--new-thing 5", "--dtype float8"]
    for line in found.unknown:
        assert f"# UNKNOWN, not translated: {line}" in toml(found)


def test_options_without_a_counterpart_have_a_reason() -> None:
    found = _of("vllm", "vllm serve x --max-num-seqs 8 --enforce-eager --api-key s3cret")
    assert [line.partition(":")[0] for line in found.remarks] == [
        "--max-num-seqs",
        "--enforce-eager",
        "--api-key",
    ]
    assert tomllib.loads(toml(found))["keys_file"] == "keys.toml"
    assert "s3cret" not in toml(found)


def test_variables_are_read_and_options_have_precedence() -> None:
    environ = {"INFINITY_MODEL_ID": "org/a;org/b;", "INFINITY_PORT": "1", "INFINITY_NEW": "x"}
    assert recognised([], environ) == "infinity"
    found = _of("infinity", "infinity_emb v2 --port 2", **environ)
    tree = tomllib.loads(toml(found))
    assert tree["port"] == 2
    assert list(tree["models"]) == ["org/a", "org/b"]
    assert found.unknown == ["INFINITY_NEW"]


def test_flags_in_variables_have_values() -> None:
    found = _of("tei", "", MODEL_ID="x", JSON_OUTPUT="true", AUTO_TRUNCATE="false", HOSTNAME="box")
    tree = tomllib.loads(toml(found))
    assert tree["log_format"] == "json"
    assert tree["models"]["x"] == {"source": "x"}
    assert tree["host"] == "0.0.0.0"


def test_nothing_is_recognised_in_another_command() -> None:
    assert recognised(["python", "main.py"], {"PATH": "x"}) is None
    assert recognised([], {"MODEL_ID": "x"}) == "tei"
