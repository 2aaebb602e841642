"""The example files in configs/, and the files that are generated from the settings."""

import json
import re
from pathlib import Path

import pytest

from gateway.config import (
    CanarySettings,
    CascadeSettings,
    ModelSettings,
    Settings,
    ShadowSettings,
    SplitSettings,
    advice,
    load,
    model_specs,
)
from gateway.config.schema import configuration_page, json_schema, write
from gateway.supervision.machine import Machine

ROOT = Path(__file__).parents[3]
LAPTOP = Machine(sockets=((0, 1),))
GPU_SERVER = Machine(sockets=((0, 1, 2, 3),), gpus=1)
TWO_SOCKETS = Machine(sockets=((0, 1, 2, 3), (4, 5, 6, 7)))


@pytest.mark.parametrize(
    ("name", "machine", "shards"),
    [
        ("embedded", LAPTOP, ["embedded/cpu:0", "embedded-qwen3/cpu:0"]),
        ("one-gpu", GPU_SERVER, ["qwen3-reranker-4b/cuda:0"]),
        (
            "two-sockets",
            TWO_SOCKETS,
            [
                "bge-reranker-v2-m3/cpu:0",
                "bge-reranker-v2-m3/cpu:0#1",
                "bge-reranker-v2-m3/cpu:1",
                "bge-reranker-v2-m3/cpu:1#1",
                "qwen3-reranker-0.6b/cpu:0",
                "qwen3-reranker-0.6b/cpu:1",
            ],
        ),
        ("many-models", GPU_SERVER, ["qwen3/cuda:0", "dity/cuda:0"]),
    ],
)
def test_example_files_start_the_described_shards(
    name: str, machine: Machine, shards: list[str]
) -> None:
    settings = load(ROOT / f"configs/{name}.toml")
    specs = model_specs(settings, machine)
    assert [shard.name for spec in specs for shard in spec.shards] == shards
    assert advice(settings, machine) == []


def test_every_example_file_is_tested() -> None:
    found = {file.stem for file in (ROOT / "configs").glob("*.toml")}
    assert found == {"embedded", "one-gpu", "two-sockets", "many-models"}


def test_generated_files_are_up_to_date() -> None:
    assert write(ROOT, check=True) == [], "run scripts/docs"


def test_generated_files_that_differ_are_found_and_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs").mkdir()
    names = ["docs/configuration.md", "configs/schema.json"]
    assert write(tmp_path, check=True) == names
    assert not list((tmp_path / "docs").iterdir())
    assert write(tmp_path) == names
    assert write(tmp_path, check=True) == []


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    schema = json.loads(json_schema())
    sections = [schema, *schema["$defs"].values()]
    assert len(sections) == 11
    assert all(section["additionalProperties"] is False for section in sections)


def test_the_page_explains_every_key() -> None:
    page, maps = configuration_page(), ("models", "splits", "cascades")
    entry = re.compile(
        r"^- `(\w+)`: (.+); (required|unset by default|default `.+`)\.\n  (\S.+)", re.M
    )
    assert all(len(line) <= 120 for line in page.splitlines())
    assert page.count("\n- `") == len(entry.findall(page))
    assert page.count("\n- `") == sum(
        len(model.model_fields)
        for model in (
            Settings,
            ModelSettings,
            CanarySettings,
            ShadowSettings,
            SplitSettings,
            CascadeSettings,
            type(Settings().limits),
            type(Settings().memory_budget),
            type(Settings().http),
            type(Settings().tls),
            type(Settings().supervision),
        )
    ) - len(("limits", "http", "tls", "supervision", "memory_budget", *maps))
