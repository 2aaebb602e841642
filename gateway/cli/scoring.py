"""The options that say who scores, and scoring whole questions with a progress bar.

`rerank`, `eval`, `compare` and `calibrate` share them: a gateway behind a URL, or shards of our own.
Documents are scored in parts, which shows progress and lets one question be as long as it likes: a
score depends on its own query and document only, so the parts can be put together.
"""

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.flags import model_options, one_model
from gateway.cli.inputs import Question
from gateway.cli.remote import api_key_option, read_key
from gateway.cli.say import console
from gateway.cli.scorers import Reading, Refused, Score, Scorer, local, remote
from gateway.cli.spoken import SPOKEN

if TYPE_CHECKING:
    from gateway.domain import Policy

PART = 128
"""Documents of one question that are scored together."""

AHEAD = 4
"""Questions that are under way at once, beside the one that is waited for."""

PROGRESS_AFTER_SECONDS = 2.0


def scorer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a model is loaded, how it reads, and where a gateway is."""
    for option in reversed(
        (
            model_options,
            click.option("--instruction", help="What relevance means, for models that read it."),
            click.option(
                "--long-documents",
                type=click.Choice(["truncate", "passages", "error"]),
                help="What happens to documents that are too long; default what the model is set to.",
            ),
            click.option(
                "--max-passages",
                type=click.IntRange(min=1),
                help="Read long documents in passages, at most so many of each.",
            ),
            click.option(
                "--url", envvar="GATEWAY_URL", help="A running gateway; else shards start here."
            ),
            click.option(
                "--dialect",
                type=click.Choice(list(SPOKEN)),
                default="jina",
                help="The API of --url.",
            ),
            api_key_option,
        )
    ):
        command = option(command)
    return command


def scorer_of(
    *,
    url: str | None,
    dialect: str,
    api_key: str | None,
    model: str | None,
    instruction: str | None,
    long_documents: "Policy | None",
    max_passages: int | None,
    details: bool = False,
    config: Path | None = None,
    **described: Any,
) -> AbstractAsyncContextManager[Scorer]:
    """Return who scores, from what `scorer_options` gave.

    Raises:
        click.UsageError: options of both kinds were given.
    """
    reading = Reading(long_documents, max_passages, details)
    if url:
        idle = [name for name, value in described.items() if value not in (None, ())]
        if idle:
            raise click.UsageError(f"{', '.join(idle)}: the gateway behind --url decides that")
        options = {"model": model, "instruction": instruction, **reading.fields()}
        return remote(url, SPOKEN[dialect], options, read_key(api_key))
    settings = one_model(model, described, config)
    from gateway import logs

    logs.configure("warning")
    return local(settings, next(iter(settings.models)), instruction, reading)


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a question's documents, in their order, or why there are none."""

    question: Question
    scores: tuple[Score, ...] = ()
    error: str = ""


async def score_questions(
    scorer: Scorer,
    questions: Iterable[Question],
    advance: Callable[[int], None],
    *,
    ahead: int = AHEAD,
) -> AsyncIterator[Scores]:
    """Yield the scores of each question, in order, with a few under way ahead.

    `advance` is told how many documents have been scored. Raises `Unreachable`.
    """
    under_way: deque[asyncio.Task[Scores]] = deque()
    try:
        for question in questions:
            under_way.append(asyncio.create_task(_score(scorer, question, advance)))
            if len(under_way) > ahead:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _score(scorer: Scorer, question: Question, advance: Callable[[int], None]) -> Scores:
    documents = question.documents
    scores: list[Score] = []
    try:
        for start in range(0, len(documents), PART):
            part = documents[start : start + PART]
            scores += await scorer.score(question.query, [one.text for one in part])
            advance(len(part))
    except Refused as error:
        return Scores(question, error=str(error))
    return Scores(question, tuple(scores))


@dataclass(frozen=True, slots=True)
class Progress:
    """What counts scored documents, and what takes the count off the terminal."""

    advance: Callable[[int], None]
    stop: Callable[[], None]


@contextlib.contextmanager
def progress_bar(total: int | None, *, shown: bool = True, title: str = "") -> Iterator[Progress]:
    """Yield a progress bar on the terminal that appears when it takes long; within an event loop."""
    if not shown or not sys.stderr.isatty():
        yield Progress(advance=lambda _count: None, stop=lambda: None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents"),
        TimeElapsedColumn(),
    )
    bar = Bar(*columns, console=console(stderr=True), transient=True, refresh_per_second=4)
    line = bar.add_task(title, total=total)
    timer = asyncio.get_running_loop().call_later(PROGRESS_AFTER_SECONDS, bar.start)

    def stop() -> None:
        timer.cancel()
        bar.stop()

    try:
        yield Progress(advance=lambda count: bar.update(line, advance=count), stop=stop)
    finally:
        stop()
