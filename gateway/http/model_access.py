"""Models of a request: those that its key may use, and the one that scores it.

A name in a request is a model, an alias, a split or a cascade. It is resolved once, to candidates;
the early refusal looks at them before the body is read, and the request is routed to one of them,
or through both of a cascade.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.config import SplitSpec
from gateway.domain.errors import ModelNotAllowed, UnknownModel
from gateway.http.keys import Key
from gateway.scheduling.model import Model
from gateway.serving.cascade import Cascade
from gateway.serving.fleet import Fleet
from gateway.serving.similar_names import similar_name
from gateway.serving.traffic_split import deal

_SHOWN_NAME = 128


@dataclass(frozen=True, slots=True)
class Candidates:
    """The models that may score a request.

    Attributes:
        names: their public names, at least one.
        split: the split that they belong to, if one of them is to be chosen by its weights.
        cascade: the cascade that they belong to, if each of them is to score.
        note: the reason for them, which the client gets as a warning; may be empty.
    """

    names: tuple[str, ...]
    split: SplitSpec | None = None
    cascade: Cascade | None = None
    note: str = ""

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The models by stage: one model of each stage must have room for the request."""
        return tuple((name,) for name in self.names) if self.cascade else (self.names,)


@dataclass(frozen=True, slots=True)
class Route:
    """The destination of a request.

    Attributes:
        model: the model that scores the request.
        split: the name of the split that chose the model; empty without a split.
        cascade: the cascade whose second model it is; `None` without one.
        note: the reason for this model, which the client gets as a warning; may be empty.
    """

    model: Model
    split: str = ""
    cascade: Cascade | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The public name of what scores: the model, or the cascade."""
        return self.cascade.spec.name if self.cascade else self.model.spec.name


def reachable(fleet: Fleet, key: Key | None) -> tuple[str, ...]:
    """Return the public names of the models that a key may use, in their order.

    A name of the key stands for a model, an alias for its model, and a split or a cascade for all
    its models.
    """
    if key is None or not key.models:
        return fleet.names
    wanted = set(key.models)
    for name in key.models:
        if several := fleet.split(name) or fleet.cascade(name):
            wanted |= set(several.models)
    return tuple(
        spec.name for spec in fleet.specs if spec.name in wanted or wanted & set(spec.aliases)
    )


def resolve(fleet: Fleet, key: Key | None, name: str | None) -> Candidates:
    """Return the models that may score a request of this name, or of one like it.

    Where the key may not use the gateway's default model, its own first one is its default. A name
    that differs from one of those that the key may use in case or owner only means that one, and
    any other is the default's if the configuration accepts any name.

    Args:
        fleet: the models that are served.
        key: the key of the request, if there are keys.
        name: the name in the request; `None` means the default.

    Raises:
        UnknownModel: nothing has this name; the message lists the models that the key may use.
        ModelNotAllowed: the key may not use this model.
    """
    allowed = reachable(fleet, key)
    if split := fleet.split(name):
        if names := tuple(model for model in split.weights if model in allowed):
            return Candidates(names, split)
        return Candidates((_default_of(key, allowed, name),))
    if cascade := fleet.cascade(name):
        if set(cascade.models) <= set(allowed):
            return Candidates(cascade.models, cascade=cascade)
        return Candidates((_default_of(key, allowed, name),))
    try:
        public = fleet.resolve(name)
    except UnknownModel:
        assert name is not None  # the default model always resolves
        if similar := similar_name(name, _meanings(fleet, allowed)):
            return resolve(fleet, key, similar)
        if fleet.accepts_any_model:
            return _any_model(resolve(fleet, key, None), name)
        if key is None or not key.models:
            raise
        raise UnknownModel(
            f"model {name[:_SHOWN_NAME]!r} is not served here; this API key is for: "
            f"{_list(allowed)}",
            param="model",
        ) from None
    return Candidates((public if public in allowed else _default_of(key, allowed, name),))


def _meanings(fleet: Fleet, allowed: Sequence[str]) -> dict[str, str]:
    """Return the names of what a key may use, and the public name that each means."""
    usable = [spec for spec in fleet.specs if spec.name in allowed]
    splits = [split.name for split in fleet.splits.values() if {*split.models} & {*allowed}]
    cascades = [one.name for one in fleet.cascades.values() if {*one.models} <= {*allowed}]
    return {name: spec.name for spec in usable for name in (*spec.aliases, spec.name)} | {
        name: name for name in (*splits, *cascades)
    }


def _any_model(default: Candidates, name: str) -> Candidates:
    several = default.split or (default.cascade and default.cascade.spec)
    meant = several.name if several else default.names[0]
    note = (
        f"model {name[:_SHOWN_NAME]!r} is not served here: the default, {meant!r}, scored "
        "(accept_any_model)"
    )
    return replace(default, note=note)


def _default_of(key: Key | None, allowed: tuple[str, ...], name: str | None) -> str:
    """Return the first model of a key whose request names none; refuse a model that it names."""
    if name is None and allowed:
        return allowed[0]
    assert key is not None  # without a key every model is allowed
    # The name of the request, since a key that may not use a model may not learn its other names.
    meant = "the default model" if name is None else f"model {name[:_SHOWN_NAME]!r}"
    raise ModelNotAllowed(
        f"this API key ({key.id}) is not for {meant}, but for: {_list(allowed)}",
        param="model",
    )


def _list(allowed: tuple[str, ...]) -> str:
    return ", ".join(allowed) or "none that is served now"


def choose(
    fleet: Fleet,
    key: Key | None,
    candidates: Candidates,
    *,
    name: str | None,
    queries: Sequence[str],
) -> Route:
    """Choose the model that scores a request, or scores last, and count the choice of a split.

    A split chooses among its models that can score now, or are idle; among all, if there is none.
    """
    split, names = candidates.split, candidates.names
    if cascade := candidates.cascade:
        note = candidates.note or _note_of_default(name, cascade.spec.name)
        return Route(cascade.then, cascade=cascade, note=note)
    if split is None:
        return Route(fleet.model(names[0]), note=candidates.note)
    subject = f"key {key.id}" if key else "query " + "\x00".join(queries)
    chosen = first = deal(split.name, split.weights, subject, names)
    if not _can_take(fleet.model(first)):
        others = [one for one in names if split.weights[one] and _can_take(fleet.model(one))]
        chosen = deal(split.name, split.weights, subject, others or names)
    fleet.dealt[split.name, chosen] += 1
    note = candidates.note or _note(name, split, chosen, first)
    return Route(fleet.model(chosen), split.name, note=note)


def _can_take(model: Model) -> bool:
    """Return whether a model can score now, or is idle and would be loaded."""
    return model.can_score or model.is_idle


def _note_of_default(name: str | None, cascade: str) -> str:
    return "" if name else f"no model was named: the default is the cascade {cascade!r}"


def _note(name: str | None, split: SplitSpec, chosen: str, first: str) -> str:
    why = "" if chosen == first else f", because {first!r} does not score now"
    if name is None:
        default = f"no model was named: the default is the split {split.name!r}"
        return f"{default}, and {chosen!r} scored{why}"
    return f"{split.name!r} is a split here: {chosen!r} scored{why}"
