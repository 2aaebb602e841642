"""The model that encodes the texts of a request: one, and one that gives vectors.

A split and a cascade have several models, whose vectors cannot be compared. A request that names
no model gets the first one with vectors where the default has none.
"""

from gateway.domain.errors import InvalidRequest
from gateway.http.keys import Key
from gateway.http.model_access import Candidates, reachable
from gateway.serving.fleet import Fleet


def encoding_candidates(
    fleet: Fleet, key: Key | None, candidates: Candidates, name: str | None
) -> Candidates:
    """Return the one model that encodes texts.

    A model that is being loaded counts as one with vectors, until it turns out to have none.

    Args:
        fleet: the models that are served.
        key: the key of the request, if there are keys.
        candidates: what the name of the request means.
        name: that name; `None` if it names nothing.

    Raises:
        InvalidRequest: it means several models, or one without vectors; the message lists those
            that have some.
    """
    several = candidates.split or (candidates.cascade and candidates.cascade.spec)
    if not several and gives_vectors(fleet, candidates.names[0]) is not False:
        return candidates
    able = [one for one in reachable(fleet, key) if gives_vectors(fleet, one)]
    coming = [one for one in reachable(fleet, key) if gives_vectors(fleet, one) is None]
    if name is None and (able or coming):
        chosen = (able or coming)[0]
        note = f"no model was named: {chosen!r} encoded, the first one that gives vectors"
        return Candidates((chosen,), note=note)
    if several:
        what = f"{several.name!r} has several models, whose vectors cannot be compared"
    else:
        what = (
            f"model {candidates.names[0]!r} compares a query with a document, and gives no vectors "
            "of single texts"
        )
    raise InvalidRequest(f"{what}: {_remedy(able)}", param="model")


def _remedy(able: list[str]) -> str:
    if able:
        return f"name one of {', '.join(able)}"
    return 'no model here gives vectors; a bi-encoder does, with `scorer = "cosine"`'


def gives_vectors(fleet: Fleet, name: str) -> bool | None:
    """Return whether a model gives vectors; `None` while it is not loaded."""
    facts = fleet.model(name).replicas.facts
    return None if facts is None else facts.vector_width > 0
