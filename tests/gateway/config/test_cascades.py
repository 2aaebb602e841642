"""Cascades in the configuration: names that resolve, and values that are rejected."""

from typing import get_origin

import pytest

from gateway.config import ConfigError, Settings, cascade_specs, load, model_specs
from gateway.config.load import NAMED, NEEDED
from gateway.serving.revisions import changes, without_effect
from tests.gateway.config.conftest import TWO_MODELS, Write

MODELS = f"""{TWO_MODELS}
[splits.half]
models = {{ small = 1, large = 1 }}
"""


def test_names_and_aliases_mean_models(toml: Write) -> None:
    found = load(
        toml(
            'default_model = "deep"\n[cascades.deep]\nfirst = "fast"\nthen = "large"\nkeep = 5\n'
            f"within = 2.5\n{MODELS}"
        )
    )
    (cascade,) = cascade_specs(found)
    assert (cascade.name, cascade.default, cascade.models) == ("deep", True, ("small", "large"))
    assert (cascade.keep, cascade.within) == (5, 2.5)
    assert not any(model.default for model in model_specs(found))


def test_a_reload_of_cascades_starts_no_shard(toml: Write) -> None:
    plain = load(toml(MODELS))
    moved = load(toml(f'[cascades.deep]\nfirst = "small"\nthen = "large"\n{MODELS}'))
    assert without_effect(plain, moved) == ()
    assert changes(model_specs(plain), model_specs(moved)).kept == ("small", "large")


@pytest.mark.parametrize(
    ("name", "text", "key", "message"),
    [
        ("deep", 'first = "smal"\nthen = "large"', "cascades.deep.first", "not a model"),
        ("deep", 'first = "half"\nthen = "large"', "cascades.deep.first", "a name for several"),
        ("deep", 'first = "small"\nthen = "deep"', "cascades.deep.then", "a name for several"),
        ("deep", 'first = "small"\nthen = "fast"', "cascades.deep.then", "the first model, too"),
        ("large", 'first = "small"\nthen = "large"', "cascades.large", "the name of a model, too"),
        ("fast", 'first = "small"\nthen = "large"', "cascades.fast", "an alias of small, too"),
        ("half", 'first = "small"\nthen = "large"', "cascades.half", "the name of a split, too"),
        ("deep", 'first = "small"', "cascades.deep.then", "is missing"),
        ("deep", 'first = "small"\nthen = "large"\nkeep = 0', "cascades.deep.keep", "found 0"),
        ("deep", 'first = "small"\nthen = "large"\nwithin = 0', "cascades.deep.within", "found 0"),
        ("deep", 'first = "small"\nthen = "large"\nkep = 3', "cascades.deep.kep", "unknown"),
    ],
)
def test_values_that_are_rejected(
    toml: Write, name: str, text: str, key: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(toml(f"[cascades.{name}]\n{text}\n{MODELS}"))
    (problem,) = caught.value.problems
    assert problem.key == key
    assert message in problem.message
    assert problem.remedy


def test_every_section_below_a_name_is_known_to_the_errors() -> None:
    fields = Settings.model_fields.items()
    named = {key for key, field in fields if get_origin(field.annotation) is dict}
    named -= {"instructions"}  # texts, and no sections
    assert named == NAMED.keys() == NEEDED.keys()
