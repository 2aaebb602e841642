"""Which models a key may use, and which one a request of it means."""

from gateway.errors import ModelNotAllowed, UnknownModel
from gateway.fleet import Fleet
from gateway.keys import Key

_SHOWN_NAME = 128


def reachable(fleet: Fleet, key: Key | None) -> tuple[str, ...]:
    """Return the public names of the models that a key may use, in their order."""
    names = tuple(spec.name for spec in fleet.specs)
    if key is None or not key.models:
        return names
    wanted = set(key.models)
    return tuple(
        spec.name for spec in fleet.specs if spec.name in wanted or wanted & set(spec.aliases)
    )


def resolve(fleet: Fleet, key: Key | None, name: str | None) -> str:
    """Return the public name of the model that a request means.

    Where the gateway's default model is not for the key, its own first one is its default.

    Raises:
        UnknownModel: there is none of this name; the message lists those that the key may use.
        ModelNotAllowed: the key is not for this model.
    """
    if key is None or not key.models:
        return fleet.resolve(name)
    allowed = reachable(fleet, key)
    known = ", ".join(allowed) or "none that is served now"
    try:
        public = fleet.resolve(name)
    except UnknownModel:
        assert name is not None
        raise UnknownModel(
            f"model {name[:_SHOWN_NAME]!r} is not served here; this API key is for: {known}",
            param="model",
        ) from None
    if public in allowed:
        return public
    if name is None and allowed:
        return allowed[0]
    raise ModelNotAllowed(
        f"this API key ({key.id}) is not for model {public!r}, but for: {known}", param="model"
    )
