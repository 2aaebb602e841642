"""Options that choose a scorer, shared by `rerank`, `eval`, `compare` and `calibrate`."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.model_options import model_options, one_model
from gateway.cli.remote import api_key_option, read_key
from gateway.cli.score.client_apis import CLIENT_APIS
from gateway.cli.score.scorer import DocumentOptions, Scorer

if TYPE_CHECKING:
    from gateway.domain.request import Policy


def dialect_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--dialect`; its help ends with all names."""
    return click.option(
        "--dialect",
        metavar="API",
        type=click.Choice(list(CLIENT_APIS)),
        default="jina",
        help=f"{help}: {', '.join(CLIENT_APIS)} (default: jina).",
    )


def scorer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the model, for reading documents, and for a gateway at a URL."""
    for option in reversed(
        (
            model_options,
            click.option(
                "--instruction",
                metavar="TEXT",
                help="Meaning of relevance, for models that read an instruction "
                "(default: that of the model).",
            ),
            click.option(
                "--long-documents",
                metavar="POLICY",
                type=click.Choice(["truncate", "passages", "error"]),
                help="Treatment of documents that are too long: truncate, passages or error "
                "(default: the setting of the model).",
            ),
            click.option(
                "--max-passages",
                metavar="N",
                type=click.IntRange(min=1),
                help="Limit of passages per long document, which is then read in passages "
                "(default: the setting of the model).",
            ),
            click.option(
                "--url",
                metavar="URL",
                envvar="GATEWAY_URL",
                help="URL of a running gateway (default: none, shards start here; "
                "env: GATEWAY_URL).",
            ),
            dialect_option("API of the server at --url"),
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
    retry_seconds: float = 0.0,
    connections: int = 100,
    takes_degraded: bool = False,
    is_timed: bool = False,
    **described: Any,
) -> AbstractAsyncContextManager[Scorer]:
    """Return the scorer of the values of `scorer_options`.

    A gateway at a URL is tried again for `retry_seconds`, over at most so many connections;
    `takes_degraded` if replies count that the model did not score as a whole; `is_timed` if no
    score may come from the gateway's cache.

    Raises:
        click.UsageError: options of both kinds were given.
    """
    options = DocumentOptions(long_documents, max_passages, details)
    if url:
        from gateway.cli.score.remote_scorer import remote_scorer

        idle = [name for name, value in described.items() if value not in (None, ())]
        if idle:
            raise click.UsageError(f"{', '.join(idle)}: the gateway behind --url decides that")
        fields = {"model": model, "instruction": instruction, **options.fields()}
        return remote_scorer(
            url,
            CLIENT_APIS[dialect],
            fields,
            read_key(api_key),
            retry_seconds=retry_seconds,
            connections=connections,
            takes_degraded=takes_degraded,
            is_timed=is_timed,
        )
    settings = one_model(model, described, config)
    from gateway.cli.score.local_scorer import local_scorer
    from gateway.telemetry import logs

    logs.configure("warning")
    # the command ends with the same reason
    logging.getLogger().handlers[0].addFilter(_is_no_refusal)
    return local_scorer(settings, instruction, options)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    from gateway.supervision.process_exit import REFUSED_TO_START

    return not record.getMessage().startswith(REFUSED_TO_START)
