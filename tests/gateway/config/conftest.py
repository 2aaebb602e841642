"""A clean environment, and a way to write a configuration file."""

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]

TWO_MODELS = """
[models.small]
source = "fake"
engine = "fake"
devices = ["cpu"]
aliases = ["fast"]
[models.large]
source = "fake"
engine = "fake"
devices = ["cpu"]
"""
"""A small and a large model, in TOML; keys that follow belong to the large one."""


@pytest.fixture
def toml(tmp_path: Path) -> Write:
    """Write a configuration file."""

    def write(text: str) -> Path:
        file = tmp_path / "gateway.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "GATEWAY_CONFIG", "GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)
