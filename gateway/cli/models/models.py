"""`gateway models [NAME]`: the table of known models, and what is refused."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Any

import click

from gateway.cli.exit_codes import REFUSED as REFUSED_CODE
from gateway.cli.help_text import examples
from gateway.cli.models.known_models import REFUSED, SERVED, KnownModel, RefusedModel

_COLUMNS = 80


@click.command(
    epilog=examples(
        "gateway models", "gateway models bge-reranker-v2-m3", "gateway models --json | jq .served"
    )
)
@click.argument("name", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def models(name: str, as_json: bool) -> None:
    """Print the rerankers that are known, and how each is scored.

    NAME shows those of one name: an id on the hub, or a part of one.

    A checkpoint that is not listed is served if its files say how to score
    it; `gateway check` reads them and reports.

    \b
    Exit codes:
      0  printed
      1  no known model has this name
    """
    from gateway.cli.console import fail, print_json

    served = [model for model in SERVED if _is_named(model.ids, name)]
    refused = [model for model in REFUSED if _is_named(model.ids, name)]
    if not served and not refused:
        fail(_unknown(name), REFUSED_CODE)
    if as_json:
        print_json(_as_json(served, refused), indent=True)
    else:
        click.echo("\n".join(_lines(served, refused)))


def _is_named(ids: Sequence[str], name: str) -> bool:
    """Return whether a name is one of the ids, or a part of one, in any letter case."""
    return any(name.lower() in id.lower() or fnmatch(name.lower(), id.lower()) for id in ids)


def _unknown(name: str) -> str:
    ids = {id.rpartition("/")[2]: id for model in (*SERVED, *REFUSED) for id in model.ids}
    similar = get_close_matches(name.rpartition("/")[2], ids)
    hint = f"; did you mean {' or '.join(map(ids.__getitem__, similar))}?" if similar else ""
    return (
        f"no known model is named {name!r}{hint}; a model that is not listed is served if its "
        "files say how to score it: try `gateway check` with it"
    )


def _as_json(served: Sequence[KnownModel], refused: Sequence[RefusedModel]) -> dict[str, Any]:
    return {
        "served": [_fields(model) for model in served],
        "refused": [_fields(model) for model in refused],
    }


def _fields(model: KnownModel | RefusedModel) -> dict[str, Any]:
    fields = {key: value for key, value in asdict(model).items() if key != "kind"}
    return {"name": fields.pop("name"), "ids": model.ids, **fields}


def _lines(served: Sequence[KnownModel], refused: Sequence[RefusedModel]) -> Iterator[str]:
    for model in served:
        yield from _wrapped(model.name, "")
        yield from _wrapped(
            f"{model.parameters} parameters, {model.context} tokens, {model.license}, "
            f"since {model.since}"
        )
        yield from _wrapped(f"languages: {model.languages}")
        yield from _wrapped(f"scores: {model.scoring}")
    if served and refused:
        yield ""
    for other in refused:
        yield from _wrapped(other.name, "")
        yield from _wrapped(f"REFUSED: {other.reason}")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
