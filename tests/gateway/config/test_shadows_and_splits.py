"""Shadows and splits in the configuration: names that resolve, and values that are rejected."""

import pytest

from gateway.config import ConfigError, Settings, load, model_specs, split_specs
from gateway.serving.revisions import changes, without_effect
from tests.gateway.config.conftest import Write

MODELS = """
[models.dity]
source = "fake"
engine = "fake"
devices = ["cpu"]
aliases = ["old"]
[models.qwen3]
source = "fake"
engine = "fake"
devices = ["cpu"]
aliases = ["new"]
"""


def test_names_and_aliases_mean_models(toml: Write) -> None:
    settings = load(
        toml(
            'default_model = "search"\n[splits.search]\nmodels = { old = 90, qwen3 = 10 }\n'
            f'{MODELS}shadow = {{ model = "old", percent = 2.5 }}\n'
        )
    )
    (split,) = split_specs(settings)
    assert (split.name, split.default) == ("search", True)
    assert split.weights == {"dity": 90, "qwen3": 10}
    dity, qwen3 = model_specs(settings)
    assert (dity.shadow, dity.default, qwen3.default) == (None, False, False)
    assert qwen3.shadow is not None
    assert (qwen3.shadow.model, qwen3.shadow.percent) == ("dity", 2.5)


def test_a_reload_of_shadows_and_splits_starts_no_shard(toml: Write) -> None:
    def read(text: str) -> Settings:
        return load(toml(MODELS + text))

    plain = read("")
    moved = read('shadow = { model = "dity" }\n[splits.search]\nmodels = { dity = 1 }\n')
    assert without_effect(plain, moved) == ()
    assert changes(model_specs(plain), model_specs(moved)).kept == ("dity", "qwen3")


@pytest.mark.parametrize(
    ("text", "key", "message", "remedy"),
    [
        ('shadow = { model = "ditty" }', "models.qwen3.shadow.model", "not a model", "mean dity?"),
        ('shadow = { model = "qwen3" }', "models.qwen3.shadow.model", "itself", "Allowed: dity"),
        ('shadow = { model = "new" }', "models.qwen3.shadow.model", "itself", "Allowed: dity"),
        ('shadow = { model = "dity", percent = 0 }', "models.qwen3.shadow.percent", "than 0", ""),
        ('shadow = { model = "dity", percent = 101 }', "models.qwen3.shadow.percent", "100", ""),
        ('shadow = { model = "dity", share = 5 }', "models.qwen3.shadow.share", "unknown", "model"),
        ("shadow = { percent = 5 }", "models.qwen3.shadow.model", "is missing", "Second model"),
        ("[splits.s]\nmodels = {}", "splits.s.models", "at least 1", "weights"),
        ("[splits.s]", "splits.s.models", "is missing", "weights"),
        ("[splits.s]\nmodels = { dity = 0 }", "splits.s.models", "no weight", "such as 100"),
        ("[splits.s]\nmodels = { dity = -1 }", "splits.s.models.dity", "found -1", ""),
        (
            "[splits.s]\nmodels = { ditty = 1 }",
            "splits.s.models.ditty",
            "not a model",
            "mean dity?",
        ),
        ("[splits.s]\nmodels = { s = 1 }", "splits.s.models.s", "a split itself", "Allowed: dity"),
        ("[splits.s]\nmodels = { new = 1, qwen3 = 1 }", "splits.s.models", "the same", "once"),
        ("[splits.dity]\nmodels = { qwen3 = 1 }", "splits.dity", "name of a model", "its own"),
        ("[splits.old]\nmodels = { qwen3 = 1 }", "splits.old", "an alias of dity", "its own"),
        ('[splits."a b"]\nmodels = { qwen3 = 1 }', 'splits."a b"', "", ""),
    ],
)
def test_invalid_shadows_and_splits_are_rejected(
    toml: Write, text: str, key: str, message: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(toml(f"{MODELS}{text}\n"))
    (problem,) = caught.value.problems
    assert problem.key.startswith(key)
    assert message in problem.message
    assert remedy in problem.remedy
    assert problem.origin.endswith("gateway.toml")


def test_a_cycle_of_splits_is_refused_at_each_of_them(toml: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load(toml(f"{MODELS}[splits.a]\nmodels = {{ b = 1 }}\n[splits.b]\nmodels = {{ a = 1 }}\n"))
    assert {problem.key for problem in caught.value.problems} == {
        "splits.a.models.b",
        "splits.b.models.a",
    }


def test_a_shadow_is_not_a_split(toml: Write) -> None:
    text = 'shadow = { model = "s" }\n[splits.s]\nmodels = { dity = 1 }\n'
    with pytest.raises(ConfigError, match="is a split"):
        load(toml(MODELS + text))
