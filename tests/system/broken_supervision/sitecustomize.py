"""Makes the supervisor of a gateway under test raise instead of waiting for the next start."""

from gateway.supervision.lifecycle import Event
from gateway.supervision.supervisor import Supervisor


async def _fail(_self: Supervisor, _event: Event) -> None:
    raise RuntimeError("a bug that a test has put here")


# mypy rejects a method that is replaced, which is what this module is for
Supervisor._rest = _fail  # type: ignore[assignment, method-assign]
