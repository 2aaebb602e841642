"""All problems of a configuration in one error, each with its origin and its remedy."""

from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, Problem, load, model_name
from tests.gateway.config.conftest import Write


def problems(file: Path | None = None, **flags: Any) -> dict[str, Problem]:
    """Return the problems by key."""
    with pytest.raises(ConfigError) as caught:
        load(file, flags)
    return {problem.key: problem for problem in caught.value.problems}


def test_every_error_is_reported_at_once(toml: Write) -> None:
    file = toml("""
        prot = 3
        host = "0.0.0.0"
        port = 70000
        default_model = "qwem"
        [limits]
        documents = "many"
        document_bytes = 100000000
        [supervison]
        x = 1
        [models."bad name"]
        source = "a/b"
        [models."qwen3-0.6b"]
        source = "a/b"
        aliases = ["dity"]
        devices = ["cuda:0", "gpu"]
        [models.dity]
        sorce = "a/b"
        [models.z]
        source = "embedded:brt"
        dtype = "fp8"
    """)
    assert set(problems(file)) == {
        "prot",
        "host",
        "port",
        "default_model",
        "limits.documents",
        "limits.document_bytes",
        "supervison",
        'models."bad name"',
        'models."qwen3-0.6b".aliases',
        'models."qwen3-0.6b".devices.1',
        "models.dity.source",
        "models.dity.sorce",
        "models.z.source",
        "models.z.dtype",
    }


def test_an_error_has_origin_finding_and_remedy(toml: Write) -> None:
    file = toml('[models.a]\nsource = "a/b"\ndtipe = "fp32"\nthreads = -1\n')
    found = problems(file)
    assert found["models.a.dtipe"].origin == str(file)
    assert "Did you mean dtype?" in found["models.a.dtipe"].remedy
    assert "found -1" in found["models.a.threads"].message
    assert "greater than or equal to 0" in found["models.a.threads"].message
    assert "Compute threads" in found["models.a.threads"].remedy


def test_an_error_names_the_source_of_its_key(toml: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml('port = -1\nlog_level = "loud"\n[limits]\ndocuments = -1\n')
    monkeypatch.setenv("GATEWAY_LIMITS__DOCUMENTS", "-2")
    found = problems(file, port=-3, models={"a": {"source": "a/b", "threads": -4}})
    assert found["port"].origin == "flag --port"
    assert "-3" in found["port"].message
    assert found["limits.documents"].origin == "environment variable GATEWAY_LIMITS__DOCUMENTS"
    assert found["log_level"].origin == str(file)
    assert found["models.a.threads"].origin == "flag --model"


def test_a_valid_key_is_not_reported_for_an_invalid_one(toml: Write) -> None:
    file = toml('default_model = "a"\n[models.a]\nthreads = 1\n')
    assert set(problems(file)) == {"models.a.source"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("port = ", "not TOML"),
        ("port = 1\nport = 2", "not TOML"),
        ('models = "x"', "section"),
        ("[models]\na = 3", "section"),
        ("limits = 3", "section"),
        ('host = ""', "at least 1 character"),
        ("default_timeout_seconds = nan", "finite"),
        ("port = true\nhost = 3", "string"),
    ],
)
def test_wrong_shapes_are_errors_and_not_crashes(toml: Write, text: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        load(toml(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml.*cannot be read"):
        load(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b'host = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.toml")


def test_a_section_in_the_environment_must_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LIMITS", "documents=5")
    with pytest.raises(ConfigError, match="GATEWAY_LIMITS__KEY"):
        load()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "[::]"])
def test_an_open_port_without_keys_is_refused(host: str) -> None:
    assert "allow_unauthenticated" in problems(host=host)["host"].remedy
    assert load(flags={"host": host, "allow_unauthenticated": True}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_permission(host: str) -> None:
    assert load(flags={"host": host}).host == host


MODELS = {"a": {"source": "x/a", "aliases": ["r"]}, "b": {"source": "x/b"}}


@pytest.mark.parametrize(
    ("aliases", "word"),
    [(["a"], "name of another"), (["r"], "alias of a"), (["b"], "its own name")],
)
def test_a_name_means_one_model(aliases: list[str], word: str) -> None:
    models = {**MODELS, "b": {"source": "x/b", "aliases": aliases}}
    assert word in problems(models=models)["models.b.aliases"].message


def test_the_default_model_may_be_an_alias() -> None:
    for alias, name in (("r", "a"), ("b", "b")):
        settings = load(flags={"models": MODELS, "default_model": alias})
        assert model_name(settings.models, settings.default_model) == name


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({"limits": {"query_bytes": 10**8}}, "limits.query_bytes"),
        ({"default_timeout_seconds": 601}, "default_timeout_seconds"),
        ({"supervision": {"backoff_first_seconds": 61}}, "supervision.backoff_first_seconds"),
    ],
)
def test_contradicting_limits_are_reported(flags: dict[str, Any], key: str) -> None:
    assert "is more than" in problems(**flags)[key].message


def test_auto_is_not_mixed_with_named_devices() -> None:
    models = {"a": {"source": "x/a", "devices": ["auto", "cpu"]}}
    assert "mixes auto" in problems(models=models)["models.a.devices"].message


def test_a_graph_is_named_for_the_engine_that_takes_one() -> None:
    model = {"source": "x/a", "onnx_file": "model_O4.onnx"}
    found = problems(models={"a": model | {"engine": "openvino"}})
    assert "takes no graph" in found["models.a.onnx_file"].message


def test_a_document_too_large_for_one_job_is_refused(toml: Write) -> None:
    file = toml("[limits]\ndocument_bytes = 2000000\nquery_bytes = 100000\n")
    assert "2200000 bytes" in problems(file)["limits.document_bytes"].message


@pytest.mark.parametrize(
    ("flags", "key", "word"),
    [
        ({"score_cache_mb": 0, "score_cache_path": "x.db"}, "score_cache_path", "is off"),
        ({"score_cache_mb": 0, "score_cache_url": "redis://h"}, "score_cache_url", "is off"),
        ({"score_cache_url": "http://u:pass@h"}, "score_cache_url", "scheme"),
        ({"score_cache_url": "redis://h"}, "score_cache_secret_file", "one secret"),
    ],
)
def test_stores_of_scores_need_memory_and_those_in_common_a_secret(
    flags: dict[str, Any], key: str, word: str
) -> None:
    found = problems(**flags)
    assert word in found[key].message
    assert "pass" not in str(found)
