"""The keys for moving from one model to another: `[models.NAME.shadow]` and `[splits.NAME]`."""

from typing import Annotated

from pydantic import Field, StringConstraints

from gateway.config.section import Section

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]
Weight = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class ShadowSettings(Section):
    """A second model that scores some requests again, in the background, to be compared."""

    model: Name
    """The second model, by name or alias. Nobody gets its scores, and it has no shadow for these."""

    percent: float = Field(default=5.0, gt=0, le=100, allow_inf_nan=False)
    """How many of the requests are scored by it as well, chosen at random."""


class SplitSettings(Section):
    """A name without shards of its own, behind which requests are dealt out to models."""

    models: dict[Name, Weight] = Field(min_length=1)
    """The models, by name or alias, and their weights: `{ dity = 90, qwen3 = 10 }`. Requests of one
    API key, or without keys of one query, go to the same model."""
