"""The difference between two configurations, by model. Pure.

A revision of a model is one set of shard processes with one queue. A model whose shards would be
started just as they are keeps its revision, untouched; its aliases, and whether it is the default,
are names and need no process. A model that is new, or whose shards would be started differently,
gets a new revision.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config import ModelSpec, Settings

RELOADED = frozenset(
    {
        "models",
        "splits",
        "cascades",
        "default_model",
        "offline",
        "keys_file",
        "calibration_file",
        "log_level",
        "log_format",
    }
)
"""The keys of the settings that a reload brings into effect."""

RELOADED_LIMITS = ("documents", "document_bytes", "query_bytes", "body_bytes")
"""The same, of the section `limits`."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The public names of all models, old and new, by their change."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def starting(self) -> tuple[str, ...]:
        """The names of the models that get a new revision."""
        return self.added + self.changed


def changes(
    old: Sequence[ModelSpec], new: Sequence[ModelSpec], again: Container[str] = ()
) -> Changes:
    """Return the change of each model; those in `again` change even if they look the same."""
    before = {spec.name: spec for spec in old}
    common = [spec for spec in new if spec.name in before]
    changed = [
        spec.name
        for spec in common
        if spec.shards != before[spec.name].shards or spec.name in again
    ]
    names = {spec.name for spec in new}
    return Changes(
        added=tuple(spec.name for spec in new if spec.name not in before),
        changed=tuple(changed),
        removed=tuple(name for name in before if name not in names),
        kept=tuple(spec.name for spec in common if spec.name not in changed),
    )


def without_effect(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return the keys that differ, as in TOML, and that only a restart brings into effect."""
    before, after = (settings.model_dump(exclude=set(RELOADED)) for settings in (old, new))
    after["limits"] |= {key: before["limits"][key] for key in RELOADED_LIMITS}
    if old.tls.certificate and new.tls.certificate:  # a pair in the place of another is reloaded
        after["tls"] |= old.tls.model_dump(include={"certificate", "key"})
    return tuple(_different(before, after))


def _different(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in new.items():
        if isinstance(value, Mapping):
            yield from _different(old[key], value, f"{path}{key}.")
        elif value != old[key]:
            yield path + key
