"""`gateway migrate`: our configuration from that of another rerank server."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from gateway.cli import exit_codes
from gateway.cli.console import warn
from gateway.cli.env_files import read_env_file
from gateway.cli.help_text import examples

NAMES = ("tei", "infinity", "vllm", "mosec")


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "gateway migrate -- text-embeddings-router --model-id BAAI/bge-reranker-v2-m3",
        "gateway migrate -- vllm serve Qwen/Qwen3-Reranker-0.6B --port 8000",
        "gateway migrate --from mosec --env-file old.env > gateway.toml",
    ),
)
@click.argument("words", metavar="[COMMAND]...", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--from",
    "server",
    metavar="SERVER",
    type=click.Choice(NAMES),
    help="Server: tei, infinity, vllm or mosec (default: the one of the command or variables).",
)
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of the variables of that server (default: the environment).",
)
def migrate(words: tuple[str, ...], server: str | None, env_file: Path | None) -> None:
    """Print our configuration from that of another rerank server.

    COMMAND is its command line, also one of `docker run`; its variables are read as well. Options
    that are unknown, or that have no counterpart, are named in comments and on standard error. The
    configuration is TOML: see `gateway check`.

    \b
    Exit codes:
      0  everything is translated or explained
      1  some options are unknown
      2  the server is not recognised
    """
    from gateway.config.migration import migrated, recognised, toml

    environ: Mapping[str, str] = read_env_file(env_file) if env_file else os.environ
    name = server or recognised(words, environ)
    if name is None:
        raise click.UsageError(
            f"neither the command nor the variables are those of {', '.join(NAMES)}: name the "
            "server with --from"
        )
    found = migrated(name, words, environ)
    click.echo(toml(found), nl=False)
    for line in found.remarks:
        click.echo(f"note: {line}", err=True)
    for line in found.unknown:
        warn(f"{line} is unknown and not translated")
    if found.unknown:
        raise SystemExit(exit_codes.REFUSED)
