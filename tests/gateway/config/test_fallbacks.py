"""Fallbacks in the configuration: names that resolve, and values that are rejected."""

import pytest

from gateway.config import ConfigError, load, model_specs
from gateway.serving.revisions import changes
from tests.gateway.config.conftest import TWO_MODELS, Write


def test_names_and_aliases_mean_models_and_a_reload_starts_no_shard(toml: Write) -> None:
    plain = model_specs(load(toml(TWO_MODELS)))
    found = model_specs(load(toml(f'{TWO_MODELS}fallback = ["fast", "input-order"]\n')))
    assert [spec.fallback for spec in found] == [(), ("small", "input-order")]
    assert changes(plain, found).kept == ("small", "large")


@pytest.mark.parametrize(
    ("names", "message", "remedy"),
    [
        ('"smal"', "'smal' is not a model", "mean small?"),
        ('"large"', "'large' is this model itself", "small"),
        ('"small", "fast"', "'fast' is named twice", "input-order"),
        ('"input-order", "small"', "'input-order' is not the last one", "at the end"),
    ],
)
def test_values_that_are_rejected(toml: Write, names: str, message: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(toml(f"{TWO_MODELS}fallback = [{names}]\n"))
    (problem,) = caught.value.problems
    assert problem.key == "models.large.fallback"
    assert message.replace("'", '"') in problem.message.replace("'", '"')
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[models.input-order]\nsource = "fake"\nengine = "fake"', "models.input-order"),
        ('[models.x]\nsource = "fake"\nengine = "fake"\naliases = ["input-order"]', "models.x"),
        ("[splits.input-order]\nmodels = {small = 1, large = 1}", "splits.input-order"),
        ('[cascades.input-order]\nfirst = "small"\nthen = "large"', "cascades.input-order"),
    ],
)
def test_nothing_has_the_name_of_the_fallback_without_a_model(
    toml: Write, text: str, key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(toml(f"{text}\n{TWO_MODELS}"))
    (problem,) = caught.value.problems
    assert problem.key == key
    assert "stands for the order of the request" in problem.message
