"""`gateway files`; tests/gateway/cli/test_client_install.py has those of the wheel."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.cli.operate.files import FILES

ROOT = Path(__file__).parents[4]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["files", *arguments])


def test_the_wheel_has_every_file_of_the_table() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = build["targets"]["wheel"]["hooks"]["custom"]["files"]
    assert {target: name for name, target in included.items()} == {
        f"gateway/files/{name}": place if "." in place else f"{place}/{name}"
        for name, (place, _) in FILES.items()
    }


def test_the_table_has_every_unit() -> None:
    units = {path.name for path in (ROOT / "systemd").iterdir()} - {"install"}
    assert units <= FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_printed_as_it_is(name: str) -> None:
    result = run(name)
    assert result.exit_code == 0
    place = FILES[name][0]
    assert result.stdout == (ROOT / (place if "." in place else f"{place}/{name}")).read_text()


def test_all_files_are_copied(tmp_path: Path) -> None:
    assert run("--to", str(tmp_path / "new")).exit_code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == FILES.keys()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert run("--to", str(tmp_path / "file" / "below")).exit_code == 73


def test_the_list_has_a_line_for_each_file() -> None:
    assert [line.split()[0] for line in run().stdout.splitlines()] == list(FILES)
