"""The sources of settings, and their precedence."""

from pathlib import Path

import pytest

from gateway.config import ModelSettings, Settings, load, model_name
from gateway.config.load import unknown_variables
from tests.gateway.config.conftest import Write


def test_nothing_configured_means_the_embedded_models_on_loopback() -> None:
    settings = load()
    assert settings == Settings()
    assert list(settings.models) == ["embedded", "embedded-qwen3"]
    assert model_name(settings.models, settings.default_model) == "embedded"
    assert model_name(settings.models, "embedded-bert") == "embedded"  # its name before
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)


def test_flags_beat_environment_beats_file_beats_default(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toml("port = 1\ndrain_seconds = 1\ndefault_timeout_seconds = 1\n")
    monkeypatch.setenv("GATEWAY_PORT", "2")
    monkeypatch.setenv("GATEWAY_DRAIN_SECONDS", "2")
    settings = load(file, {"port": 3})
    assert settings.port == 3
    assert settings.drain_seconds == 2
    assert settings.default_timeout_seconds == 1
    assert settings.max_timeout_seconds == Settings().max_timeout_seconds


def test_sources_are_merged_key_by_key(toml: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml('[limits]\ndocuments = 5\nquery_bytes = 6\n[models.a]\nsource = "x/y"\n')
    monkeypatch.setenv("GATEWAY_LIMITS__DOCUMENTS", "7")
    monkeypatch.setenv("GATEWAY_MODELS__A__DEVICES", '["cuda:0", "cuda:1"]')
    settings = load(file, {"models": {"a": {"threads": 3}, "b": {"source": "p/q"}}})
    assert (settings.limits.documents, settings.limits.query_bytes) == (7, 6)
    assert settings.models["a"] == ModelSettings(
        source="x/y", devices=("cuda:0", "cuda:1"), threads=3
    )
    assert list(settings.models) == ["a", "b"]


def test_settings_of_their_own_do_not_read_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9")
    assert Settings().port == 8080


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False)])
def test_the_hubs_own_offline_flag_counts(
    monkeypatch: pytest.MonkeyPatch, value: str, offline: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert load().offline is offline
    assert load(flags={"offline": False}).offline is False


def test_relative_folders_are_resolved_against_their_source(
    toml: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere/there").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = toml(
        '[models.a]\nsource = "here"\n[models.b]\nsource = "./not-yet"\n'
        '[models.c]\nsource = "Owner/name"\n[models.d]\nsource = "/opt/model"\n'
    )
    models = load(file, {"models": {"e": {"source": "there"}}}).models
    assert {name: model.source for name, model in models.items()} == {
        "a": str(tmp_path / "here"),
        "b": str(tmp_path / "not-yet"),
        "c": "Owner/name",
        "d": "/opt/model",
        "e": str(tmp_path / "elsewhere/there"),
    }


def test_an_unknown_variable_is_reported_and_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PROT", "9")
    monkeypatch.setenv("GATEWAY_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:8080")
    monkeypatch.setenv("GATEWAY_CPU", "avx2")
    prot, service = unknown_variables()
    assert load().port == 8080
    assert "GATEWAY_PROT" in prot
    assert "Did you mean port?" in prot
    assert "GATEWAY_SERVICE_HOST" in service
