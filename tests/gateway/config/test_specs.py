"""Shard specs, the restart policy and advice, made from settings."""

from pathlib import Path
from typing import get_args

import pytest

from gateway.config import ConfigError, ModelSettings, Settings, advice, load, model_specs
from gateway.supervision.lifecycle import RestartPolicy
from gateway.supervision.machine import Machine
from shards.engines import ENGINES
from tests.gateway.config.conftest import Write

ROOT = Path(__file__).parents[3]
LAPTOP = Machine(sockets=((0, 1),))
GPU_SERVER = Machine(sockets=((0, 1, 2, 3),), gpus=1)


def test_every_key_of_a_model_reaches_its_shards() -> None:
    model = ModelSettings(
        source="x/a",
        revision="v2",
        aliases=("r",),
        engine="causal",
        dtype="bf16",
        devices=("cuda:0",),
        threads=3,
        max_length=512,
        token_budget=4096,
        template="answer-is",
        instruction="Be strict",
        guard_special_tokens=False,
        int8_anyway=True,
    )
    (spec,) = model_specs(Settings(models={"a": model}, offline=True), GPU_SERVER)
    (shard,) = spec.shards
    assert (spec.name, spec.aliases, spec.default, spec.source) == ("a", ("r",), True, "x/a")
    assert (shard.name, shard.model, shard.source, shard.revision) == ("a/cuda:0", "a", "x/a", "v2")
    assert (shard.engine, shard.dtype, shard.device) == ("causal", "bf16", "cuda:0")
    assert (shard.device_required, shard.cores, shard.threads) == (True, (), 3)
    assert (shard.max_length, shard.token_budget) == (512, 4096)
    assert (shard.template, shard.instruction) == ("answer-is", "Be strict")
    assert (shard.guard_special_tokens, shard.offline) == (False, True)
    assert shard.int8_anyway


def test_a_named_graph_reaches_its_shard() -> None:
    model = ModelSettings(source="x/a", engine="onnx", onnx_file="model_O4.onnx")
    (spec,) = model_specs(Settings(models={"a": model}), LAPTOP)
    assert spec.shards[0].onnx_file == "model_O4.onnx"


def test_embedded_models_are_in_the_package() -> None:
    specs = model_specs(Settings(), LAPTOP)
    folders = [Path(shard.source) for spec in specs for shard in spec.shards]
    assert folders == [
        ROOT / "shards/models/embedded",
        ROOT / "shards/models/embedded-qwen3",
    ]
    assert all((folder / "config.json").is_file() for folder in folders)
    assert [spec.default for spec in specs] == [True, False]
    (spec,) = model_specs(Settings(models={"a": ModelSettings(source="embedded:bert")}), LAPTOP)
    assert Path(spec.shards[0].source) == ROOT / "shards/models/embedded-bert"
    assert not advice(Settings(models={"a": ModelSettings(source="embedded")}), LAPTOP)


def test_the_settings_of_a_bi_encoder_reach_its_shard() -> None:
    model = ModelSettings(
        source="x/e5",
        scorer="cosine",
        query_prompt="q: ",
        document_prompt="",
        vector_cache_mb=7,
    )
    ((shard,),) = (spec.shards for spec in model_specs(Settings(models={"a": model}), LAPTOP))
    assert (shard.scorer, shard.query_prompt, shard.document_prompt) == ("cosine", "q: ", "")
    assert shard.vector_cache_mb == 7


def test_supervision_becomes_the_restart_policy() -> None:
    assert Settings().supervision.restart_policy() == RestartPolicy()


def test_legal_values_that_look_wrong_get_advice(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    models = {
        "gone": ModelSettings(source=str(tmp_path / "gone")),
        "empty": ModelSettings(source=str(tmp_path / "empty")),
        "gpu": ModelSettings(source="x/a", devices=("cuda:1",)),
        "many": ModelSettings(source="x/a", replicas=3),
        "deep": ModelSettings(source="x/y/z"),
        "fine": ModelSettings(source="embedded:bert"),
    }
    lines = advice(Settings(models=models), LAPTOP)
    assert [line.partition(":")[0] for line in lines] == [
        "models.gone.source",
        "models.empty.source",
        "models.gpu.devices",
        "models.many.replicas",
        "models.deep.source",
    ]


def test_the_engines_of_the_settings_are_those_of_the_shards() -> None:
    engines = get_args(ModelSettings.model_fields["engine"].annotation)
    assert set(engines) == {"auto", *ENGINES}


@pytest.mark.parametrize("value", ['"nfkc, html"', '["html", "nfkc"]', '"html,nfkc,html"'])
def test_cleaners_are_a_text_or_a_list_in_any_order(toml: Write, value: str) -> None:
    settings = load(toml(f'[models.a]\nsource = "x/y"\nclean_text = {value}\n'))
    (spec,) = model_specs(settings, LAPTOP)
    assert spec.clean_text == ("html", "nfkc")


def test_a_value_near_an_allowed_one_is_suggested(toml: Write) -> None:
    with pytest.raises(ConfigError) as error:
        load(toml('[models.a]\nsource = "x/y"\nclean_text = "html,nkfc"\ndtype = "bf61"\n'))
    remedies = {problem.key: problem.remedy for problem in error.value.problems}
    assert remedies["models.a.clean_text.1"].startswith("Did you mean nfkc? Cleaning of")
    assert remedies["models.a.dtype"].startswith("Did you mean bf16? Number format")
