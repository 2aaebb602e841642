"""The measurement itself: contestants asked in turn, round after round, the others standing still.

Slow contestants come first, each alone. Then all others are started. Only the one that is asked
runs; a signal stops the others, so that they take no time and keep their state. Each turn begins
with a short request that is not timed. Each round sends the same requests to every contestant, and
every second round goes in the opposite order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.error import HTTPError

from scripts.bench_suite.asking import ask
from scripts.bench_suite.contestants import Contestant, Places
from scripts.bench_suite.environments import CannotInstall
from scripts.bench_suite.figures import Agreement, Figures, agreement, differ_too_much
from scripts.bench_suite.servers import CannotStart, Running, started
from scripts.bench_suite.workloads import Step, known, steps, waking

Say = Callable[[str], None]
_WARM_UP = 99
"""The number of a round that is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Requests for the contestants of one family.

    Attributes:
        workloads: of each round.
        once: more workloads for the first round of the others.
        workloads_alone: of the rounds of those that are measured by themselves.
        repeats: True if queries are sent again with other documents.
    """

    workloads: Sequence[str]
    once: Sequence[str] = ()
    workloads_alone: Sequence[str] = ()
    rounds: int = 3
    repeats: bool = True

    def steps(self, number: int) -> list[Step]:
        """Return the steps of one round."""
        asked = steps(self.workloads, number, repeats=self.repeats)
        return asked + (steps(self.once, 0, repeats=False) if number == 0 else [])


class Field:
    """The running contestants and their figures so far.

    Attributes:
        figures: by name.
        skipped: reasons why others are missing, by name.
        running: the servers that are up, by name; all of them stopped.
    """

    def __init__(self, places: Places, say: Say) -> None:
        self.figures: dict[str, Figures] = {}
        self.skipped: dict[str, str] = {}
        self.running: dict[str, Running] = {}
        self._places = places
        self._say = say
        self._exact: tuple[str, list[float]] | None = None

    @contextmanager
    def up(self, contestant: Contestant) -> Iterator[None]:
        """Start a contestant, compare its scores, and leave it stopped while the block runs.

        One that cannot be installed or started, or whose scores are wrong, is skipped.
        """
        with ExitStack() as stack:
            running = self._start(contestant, stack)
            yield
            if running:
                running.resume()
                self.figures[contestant.name].peak_mb = round(running.peak_mb())
                del self.running[contestant.name]

    def _start(self, contestant: Contestant, stack: ExitStack) -> Running | None:
        self._say(f"starting {contestant.name}")
        log = self._places.scratch / f"{contestant.name}.log"
        try:
            server = contestant.server(self._places)
            running = stack.enter_context(started(server, log))
            self.figures[contestant.name] = self._checked(contestant, running)
        except (CannotInstall, CannotStart, WrongScores, HTTPError) as error:
            self.skipped[contestant.name] = str(error)
            stack.close()
            return None
        running.pause()
        self.running[contestant.name] = running
        return running

    def ask(self, name: str, asked: Sequence[Step]) -> None:
        """Let one contestant run and answer."""
        if name not in self.running:
            return
        self._say(name)
        figures = self.figures[name]
        with self.alone(name) as running:
            for step in asked:
                reply = ask(running.url, step.asked)
                figures.seconds.setdefault(step.workload, []).append(reply.seconds)
                figures.computed_tokens.setdefault(step.workload, []).append(reply.computed_tokens)

    def warm(self, name: str, asked: Sequence[Step]) -> None:
        """Send an untimed request to one contestant: first-time costs are not counted."""
        if name in self.running:
            with self.alone(name) as running:
                for step in asked:
                    ask(running.url, step.asked)

    @contextmanager
    def alone(self, name: str) -> Iterator[Running]:
        """Let one contestant run while the block does.

        A short request comes first. What a server catches up with after a stop (ours scores its
        canaries again after a minute without work) is not the time of a request.
        """
        running = self.running[name]
        running.resume()
        try:
            ask(running.url, waking())
            yield running
        finally:
            running.pause()

    def _checked(self, contestant: Contestant, running: Running) -> Figures:
        """Ask the request on which all must agree."""
        found = self._compared(contestant, ask(running.url, known()).margins)
        return Figures(seconds_to_ready=round(running.seconds_to_ready, 1), agreement=found)

    def _compared(self, contestant: Contestant, margins: list[float]) -> Agreement | None:
        if self._exact is None:
            self._exact = contestant.dtype, margins
            return None
        reference, exact = self._exact
        found = agreement(margins, exact)
        if differ_too_much(found, contestant.dtype, reference):
            raise WrongScores(f"its margins differ by {found.largest_difference:.4f}")
        return found


class WrongScores(Exception):
    """A contestant does not compute what the others do."""


@contextmanager
def measured(
    contestants: Sequence[Contestant],
    places: Places,
    plan: Plan,
    say: Say,
    before_round: Callable[[], None] = lambda: None,
) -> Iterator[Field]:
    """Measure some alone, then the others round by round; the others are up while the block runs.

    Args:
        before_round: called while no contestant runs.
    """
    field = Field(places, say)
    for one in contestants:
        if one.rounds_alone:
            with field.up(one):
                for number in range(one.rounds_alone):
                    field.ask(one.name, steps(plan.workloads_alone, number, repeats=False))
    together = [one for one in contestants if not one.rounds_alone]
    with ExitStack() as stack:
        for one in together:
            stack.enter_context(field.up(one))
            field.warm(one.name, steps(plan.workloads, _WARM_UP, repeats=False))
        for number in range(plan.rounds):
            before_round()
            for one in together if number % 2 == 0 else together[::-1]:
                field.ask(one.name, plan.steps(number))
        yield field
