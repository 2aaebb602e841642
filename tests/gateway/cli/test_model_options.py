"""`--model` and the options beside it, as settings."""

import click
import pytest

from gateway.cli.model_options import model_trees


def test_options_describe_every_named_model() -> None:
    options = {"dtype": "bf16", "devices": ("cpu:0", "cpu:1"), "threads": 0, "replicas": None}
    described = {"dtype": "bf16", "devices": ["cpu:0", "cpu:1"], "threads": 0}
    assert model_trees(["a=x/a", "x/b"], options) == {
        "a": {"source": "x/a", **described},
        "x/b": {"source": "x/b", **described},
    }


def test_one_name_twice_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="named twice"):
        model_trees(["a=x/a", "a=x/b"], {})
