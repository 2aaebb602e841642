"""`gateway cache scores`: the use of the score cache of a running gateway, and its clearing."""

from collections.abc import Container
from typing import Any

import click

from gateway.cli.completion import model_names
from gateway.cli.console import print_json, print_table
from gateway.cli.help_text import Group
from gateway.cli.operate.admin import call_admin, fetch
from gateway.cli.remote import Target, target_options
from gateway.cli.table import Column, Row, Table


@click.group(cls=Group)
def cache() -> None:
    """Show and clear what a running gateway keeps.

    \b
    Exit codes:
      0  done
      1  refused
      2  nothing answers
    """


@cache.command()
@click.argument("model", required=False, shell_complete=model_names)
@click.option("--clear", is_flag=True, help="Removal of the kept scores, of MODEL or of all.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@target_options
def scores(model: str | None, clear: bool, as_json: bool, target: Target) -> None:
    """Show the score cache: entries, memory, documents by source.

    `computed` were scored, `duplicate` repeat one of their request, `joined` were being scored for
    another request. `memory`, `disk` and `shared` were kept there; a cleared model is forgotten in
    all three, on every gateway that shares its store. The saved seconds are those of one shard.

    \b
    Exit codes:
      0  done
      1  refused, such as an unknown model
      2  nothing answers
    """
    if clear:
        query = {"model": model} if model else {}
        found = call_admin(target, "/admin/cache/clear", **query)
    else:
        found = fetch(target, "/status")["score_cache"]
    models = [row for row in found["models"] if model in (None, row["model"])]
    if as_json:
        print_json({**found, "models": models})
        return
    click.echo(_summary(found))
    for store in found["stores"]:
        click.echo(_store(store))
    if models:
        print_table(_table(models, {store["source"] for store in found["stores"]}))


def _summary(found: dict[str, Any]) -> str:
    if not found["max_bytes"]:
        return "The score cache is off (score_cache_mb = 0)."
    size, most = found["bytes"] / 2**20, found["max_bytes"] / 2**20
    return f"{found['entries']:,} scores, {size:.1f} of {most:.0f} MiB, kept {found['seconds']:g} s"


_CLAIMS = {"won": "claimed", "waited": "waited for", "run_out": "waited for in vain"}


def _store(store: dict[str, Any]) -> str:
    """Return a line about a store behind the memory."""
    parts = [f"{store['source']}: {store['place']}"]
    if store["bytes"] is not None:
        size, most = store["bytes"] / 2**20, store["max_bytes"] / 2**20
        parts.append(f"{store['entries']:,} scores, {size:.1f} of {most:.0f} MiB")
    parts += [f"{store[name]:,} {name}" for name in ("found", "missing", "written")]
    parts += [f"{store[name]:,} {name}" for name in ("unread", "damaged", "dropped") if store[name]]
    if claims := store["claims"]:
        parts += [f"{claims[name]:,} {text}" for name, text in _CLAIMS.items() if claims[name]]
    parts.append(f"degraded: {store['reason']}" if store["reason"] else "ok")
    return ", ".join(parts)


def _table(models: list[dict[str, Any]], stores: Container[str]) -> Table:
    """Return documents by source for each model; a store that is not there has no column."""
    from gateway.domain.request import SOURCES

    sources = [name for name in SOURCES if name not in ("disk", "shared") or name in stores]
    numbers = ("hit rate", *sources, "saved s")
    columns = [Column("model"), *(Column(title, right=True) for title in numbers)]
    rows: list[Row] = [
        {
            "model": row["model"],
            "hit rate": f"{row['hit_rate']:.1%}",
            **{source: f"{row[source]:,}" for source in sources},
            "saved s": f"{row['saved_seconds']:,.1f}",
        }
        for row in models
    ]
    return Table(columns, rows)
