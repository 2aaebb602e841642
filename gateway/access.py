"""Which models a key may use, and which one a request of it means."""

from dataclasses import dataclass

from gateway.config import SplitSpec
from gateway.domain import RerankRequest
from gateway.errors import ModelNotAllowed, UnknownModel
from gateway.fleet import Fleet
from gateway.keys import Key
from gateway.splits import deal

_SHOWN_NAME = 128


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Attributes:
        model: the public name of the model.
        split: the name of the split that has dealt it out; empty if none has.
        note: what the client is told of that.
    """

    model: str
    split: str = ""
    note: str = ""


def reachable(fleet: Fleet, key: Key | None) -> tuple[str, ...]:
    """Return the public names of the models that a key may use, in their order.

    A name of the key means a model, an alias means its model, and a split means all of its models.
    """
    if key is None or not key.models:
        return fleet.names
    wanted = set(key.models)
    wanted |= {one for name in key.models if (split := fleet.split(name)) for one in split.weights}
    return tuple(
        spec.name for spec in fleet.specs if spec.name in wanted or wanted & set(spec.aliases)
    )


def resolve(fleet: Fleet, key: Key | None, name: str | None) -> str:
    """Return the public name of the model that a name means; of a split, its first one.

    Where the gateway's default model is not for the key, its own first one is its default.

    Raises:
        UnknownModel: there is none of this name; the message lists those that the key may use.
        ModelNotAllowed: the key is not for this model.
    """
    return meant(fleet, key, name)[0]


def meant(fleet: Fleet, key: Key | None, name: str | None) -> tuple[str, ...]:
    """Return the models that may answer who asks for a name, at least one; raises as `resolve`."""
    allowed = reachable(fleet, key)
    if split := fleet.split(name):
        models = tuple(model for model in split.weights if model in allowed)
        return models or (_default_of(key, allowed, name, split.name),)
    try:
        public = fleet.resolve(name)
    except UnknownModel:
        if key is None or not key.models:
            raise
        assert name is not None
        known = ", ".join(allowed) or "none that is served now"
        raise UnknownModel(
            f"model {name[:_SHOWN_NAME]!r} is not served here; this API key is for: {known}",
            param="model",
        ) from None
    return (public if public in allowed else _default_of(key, allowed, name, public),)


def _default_of(key: Key | None, allowed: tuple[str, ...], name: str | None, public: str) -> str:
    """Return the first model of a key that named none; refuse what is not for it."""
    if name is None and allowed:
        return allowed[0]
    assert key is not None  # or everything is allowed
    known = ", ".join(allowed) or "none that is served now"
    raise ModelNotAllowed(
        f"this API key ({key.id}) is not for model {public!r}, but for: {known}", param="model"
    )


def route(fleet: Fleet, key: Key | None, asked: RerankRequest) -> Route:
    """Return the model that scores a request; raises as `resolve`.

    What a split deals out goes to the models that score now, if there are any.
    """
    models = meant(fleet, key, asked.model)
    split = fleet.split(asked.model)
    if split is None or models[0] not in split.weights:
        return Route(models[0])
    subject = f"key {key.id}" if key else "query " + "\x00".join(asked.queries)
    model = first = deal(split.name, split.weights, subject, models)
    if not _scores(fleet, first):
        others = [one for one in models if split.weights[one] and _scores(fleet, one)]
        model = deal(split.name, split.weights, subject, others or models)
    fleet.dealt[split.name, model] += 1
    return Route(model, split.name, _note(asked, split, model, first))


def _scores(fleet: Fleet, name: str) -> bool:
    model = fleet.model(name)
    return model.ready_replicas > 0 and not model.is_draining


def _note(asked: RerankRequest, split: SplitSpec, model: str, first: str) -> str:
    why = "" if model == first else f", because {first!r} does not score now"
    if asked.model is None:
        return f"no model was named: the default is the split {split.name!r}, and {model!r} scored{why}"
    return f"{split.name!r} is a split here: {model!r} scored{why}"
