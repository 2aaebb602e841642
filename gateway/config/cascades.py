"""Section `[cascades.NAME]`: one model orders all documents, a second one scores the best."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from gateway.config.model_sections import ModelSettings, SplitSettings, model_name
from gateway.config.problems import Problem, shown, suggestion
from gateway.config.sections import Name, Section

Models = Mapping[str, ModelSettings]


class CascadeSettings(Section):
    """A name without shards of its own: a cheap model ranks, a dear one scores the best."""

    first: Name
    """Model that scores all documents, by name or alias."""

    then: Name
    """Model that scores the best of them again, by name or alias."""

    keep: int = Field(default=20, ge=1, le=10_000)
    """Maximum number of documents that the second model scores. The others follow in the order of
    the first."""

    within: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Largest distance of their margins from the best one, both of the first model; unset for any
    distance."""


def cascade_problems(
    cascades: Mapping[str, CascadeSettings], models: Models, splits: Mapping[str, SplitSettings]
) -> Iterator[Problem]:
    """Require that a cascade has a name of its own, and two different models."""
    for name, cascade in cascades.items():
        owner = model_name(models, name)
        if owner or name in splits:
            meaning = "the name of a model" if owner == name else f"an alias of {owner}"
            yield Problem(
                path=("cascades", name),
                message=f"{shown(name)} is {meaning if owner else 'the name of a split'}, too",
                remedy="Give the cascade a name of its own",
            )
        yield from _stages(name, cascade, models, {*splits, *cascades})


def _stages(
    name: str, cascade: CascadeSettings, models: Models, others: set[str]
) -> Iterator[Problem]:
    for key, wanted in (("first", cascade.first), ("then", cascade.then)):
        if model_name(models, wanted) is None:
            what = "no model of its own, but a name for several" if wanted in others else ""
            yield Problem(
                path=("cascades", name, key),
                message=f"{shown(wanted)} is {what or 'not a model'}",
                remedy=suggestion(wanted, models),
            )
    if model_name(models, cascade.first) == model_name(models, cascade.then) is not None:
        yield Problem(
            path=("cascades", name, "then"),
            message=f"{shown(cascade.then)} is the first model, too",
            remedy="Name a second model, or ask for the model itself",
        )
