"""Names that a new configuration takes away from clients. Pure.

A file that was emptied or cut off is valid TOML, and would remove the models that production runs.
So a reload removes a name only on purpose.
"""

from collections.abc import Iterator

from gateway.config import ConfigError, Problem, Settings
from gateway.config.settings import EMBEDDED


def refuse_vanishing(old: Settings, new: Settings) -> None:
    """Reject a configuration that lacks names that the operator gave before.

    The embedded models are not the operator's. A file with `models = {}` asks for them, so it
    may remove all others. A shadow that ends takes nothing from a client; the model that it named
    is a name like any other.

    Raises:
        ConfigError: the message lists what would vanish.
    """
    if "models" not in old.model_fields_set or _is_embedded(old) or _is_embedded(new):
        return
    lost = list(_lost(old, new))
    if not lost:
        return
    message = f"this would remove {', '.join(lost)}"
    if "models" not in new.model_fields_set:
        message += f", and serve the embedded models {', '.join(EMBEDDED)} instead"
    remedy = (
        "Restore the file if it was emptied or cut off; if this is on purpose, "
        "`gateway reload --remove` brings it into effect"
    )
    raise ConfigError([Problem(path=("models",), message=message, remedy=remedy)])


def _is_embedded(settings: Settings) -> bool:
    return "models" in settings.model_fields_set and settings.models == EMBEDDED


def _lost(old: Settings, new: Settings) -> Iterator[str]:
    """Yield every name that no model, split or cascade of the new settings has, with its kind."""
    before, after = _names(old), _names(new)
    for name, kind in before.items():
        if name not in after:
            yield f"{kind} {name!r}"


def _names(settings: Settings) -> dict[str, str]:
    """Return all names that a client may use, each with its kind."""
    aliases = {alias: "alias" for model in settings.models.values() for alias in model.aliases}
    return (
        aliases
        | dict.fromkeys(settings.models, "model")
        | dict.fromkeys(settings.splits, "split")
        | dict.fromkeys(settings.cascades, "cascade")
    )
