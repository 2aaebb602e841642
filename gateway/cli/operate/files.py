"""`gateway files`: units, alerts, dashboard and schema that come with the package."""

from pathlib import Path

import click

import gateway
from gateway.cli import exit_codes
from gateway.cli.console import fail, print_table
from gateway.cli.help_text import examples
from gateway.cli.table import facts_table

FILES = {
    "rerank-gateway.service": ("systemd", "systemd unit of the gateway"),
    "rerank-gateway.socket": ("systemd", "systemd unit of its port"),
    "rerank-gateway-user.service": ("systemd", "systemd unit of a user's own gateway"),
    "cpu.conf": ("systemd", "drop-in of the service for a machine without a GPU"),
    "gpu.conf": ("systemd", "drop-in of the service for NVIDIA GPUs"),
    "rerank-gateway.sysusers.conf": ("systemd", "user of the service"),
    "rerank-gateway.tmpfiles.conf": ("systemd", "folders of the service"),
    "gateway.toml": ("systemd", "configuration of the service, to begin with"),
    "alerts.yml": ("configs", "alerts for Prometheus"),
    "dashboard.json": ("configs/grafana/rerank-gateway.json", "dashboard for Grafana"),
    "schema.json": ("configs", "JSON schema of the configuration, for editors"),
}
"""Folder in a checkout (or the whole path there) and description of each file, by its name."""


@click.command(
    epilog=examples(
        "gateway files",
        "gateway files alerts.yml > /etc/prometheus/rules/rerank-gateway.yml",
        "gateway files --to rerank-gateway-files",
    )
)
@click.argument("name", metavar="[NAME]", type=click.Choice(list(FILES)), required=False)
@click.option(
    "--to",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for a copy of every file, or of the one that is named (default: none).",
)
def files(name: str | None, folder: Path | None) -> None:
    """List the files for operators, print one, or copy them.

    The units run /opt/rerank-gateway/.venv/bin/gateway: change that path to yours.

    \b
    Exit codes:
      0   done
      73  a file cannot be written
    """
    if folder is not None:
        _copy([name] if name else list(FILES), folder)
    elif name is not None:
        click.echo(_text(name), nl=False)
    else:
        print_table(facts_table([(each, about) for each, (_, about) in FILES.items()]))


def _text(name: str) -> str:
    """Return a file of the wheel, or in a checkout the one that the wheel would have."""
    package = Path(gateway.__file__).parent
    place = FILES[name][0]
    in_checkout = package.parent / (place if "." in place else f"{place}/{name}")
    in_wheel = package / "files" / name
    return (in_wheel if in_wheel.is_file() else in_checkout).read_text(encoding="utf-8")


def _copy(names: list[str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text(_text(name), encoding="utf-8")
            click.echo(f"wrote {folder / name}")
    except OSError as error:
        fail(f"{folder} cannot be written ({error.strerror})", exit_codes.CANNOT_CREATE)
