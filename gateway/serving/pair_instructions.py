"""The instructions of single pairs, which a model without a place for one refuses. Pure.

An instruction for a whole request is left out with a warning instead: all scores have then been
made the same way, and can be compared.
"""

from gateway.config import ModelSpec
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import RerankRequest
from shards.wire.facts import Facts


def ignores_instructions(facts: Facts | None) -> bool:
    """Return whether a loaded model reads texts, and has no place for an instruction."""
    return facts is not None and facts.has_meaning and not facts.uses_instruction


def refuse_instructions(request: RerankRequest, spec: ModelSpec, facts: Facts | None) -> None:
    """Refuse instructions of single pairs if the model ignores them.

    Raises:
        InvalidRequest: it names the first pair that has one.
    """
    if not request.instructions or not ignores_instructions(facts):
        return
    index = next(at for at, own in enumerate(request.instructions) if own)
    name = f"{request.queries_field}[{request.place(index)}]"
    raise InvalidRequest(
        f"{name} has an instruction, and model {spec.name!r} has no place for one: send the pair "
        "without it, or choose a model that reads instructions",
        param=name,
    )
