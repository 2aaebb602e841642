"""Help of every command at 80 columns: nothing cut, every option described with its default."""

import re

import click
import pytest
from click.testing import CliRunner, Result

from gateway.cli import COMMANDS, GROUPS, cli
from gateway.cli.operate.cache import cache
from gateway.cli.operate.key import key

COLUMNS = 80
GROUPED = {"key": key, "cache": cache}
PATHS = [
    [],
    *([name] for name in COMMANDS),
    *([group, name] for group, command in GROUPED.items() for name in command.commands),
]
"""Arguments that lead to each command, `gateway` itself first."""

EVERY_COMMAND = pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(path) or "gateway")


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": str(COLUMNS)}).invoke(cli, arguments)


def command_of(path: list[str]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


def options_of(path: list[str]) -> list[click.Option]:
    return [param for param in command_of(path).params if isinstance(param, click.Option)]


@EVERY_COMMAND
def test_no_line_is_too_long_and_no_word_is_broken(path: list[str]) -> None:
    result = invoke(*path, "--help")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line for line in lines if len(line) > COLUMNS] == []
    assert [line for line in lines if re.search(r"\w-$", line)] == []


@pytest.mark.parametrize("path", [[], ["key"], ["cache"]], ids=["gateway", "key", "cache"])
def test_no_summary_is_cut(path: list[str]) -> None:
    command = command_of(path)
    assert isinstance(command, click.Group)
    lines = invoke(*path, "--help").output.splitlines()
    for name in command.list_commands(click.Context(command)):
        (line,) = (line for line in lines if re.match(rf"  {name}  ", line))
        summary = line.split(maxsplit=1)[1]
        assert summary.endswith(".") and not summary.endswith("..."), line


def test_each_command_is_in_exactly_one_group() -> None:
    output = invoke("--help").output
    sections = re.split(r"^(\w[\w ]*):\n", output, flags=re.MULTILINE)[1:]
    found = {
        title: re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)
        for title, text in zip(sections[::2], sections[1::2], strict=True)
        if title in GROUPS
    }
    assert found == {title: list(names) for title, names in GROUPS.items()}
    listed = [name for names in found.values() for name in names]
    assert sorted(listed) == sorted(set(listed)) == sorted(COMMANDS)


@EVERY_COMMAND
def test_every_option_has_help_with_its_default(path: list[str]) -> None:
    for option in options_of(path):
        assert option.help and option.help.endswith("."), option.name
        if option.is_flag or option.required or option.name in {"help", "version"}:
            continue
        assert "(default: " in option.help, option.name
        values = option.get_default(click.Context(cli), call=False)
        if isinstance(values, str | int | float | tuple) and values not in ("", ()):
            shown = values if isinstance(values, tuple) else (values,)
            assert (
                f"(default: {', '.join(f'{value}' for value in map(plain, shown))}" in option.help
            )


def plain(value: object) -> object:
    """Return 10 for 10.0, as it is written in the help."""
    return f"{value:g}" if isinstance(value, float) else value


@EVERY_COMMAND
def test_every_variable_of_an_option_is_in_its_help(path: list[str]) -> None:
    for option in options_of(path):
        if option.envvar:
            assert f"env: {option.envvar}" in (option.help or ""), option.name


@EVERY_COMMAND
def test_exit_codes_are_listed_in_order(path: list[str]) -> None:
    if len(path) == 1:
        block = invoke(*path, "--help").output.partition("Exit codes:\n")[2].partition("\n\n")[0]
        codes = [int(line.split()[0]) for line in block.splitlines()]
        assert codes[0] == 0
        assert codes == sorted(codes)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("sreve", "serve"), ("statsu", "status"), ("rerunk", "rerank"), ("evaluate", "eval")],
)
def test_a_mistyped_command_gets_a_suggestion(typed: str, meant: str) -> None:
    result = invoke(typed)
    assert result.exit_code == 2
    assert f"No such command '{typed}'. Did you mean {meant}?" in result.output


def test_an_unlike_command_gets_no_suggestion() -> None:
    result = invoke("xyzzy")
    assert result.exit_code == 2
    assert "No such command 'xyzzy'." in result.output
    assert "Did you mean" not in result.output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["key", "lst"], "list"),
        (["cache", "score"], "scores"),
        (["serve", "--prot", "1"], "--port"),
        (["status", "--ulr", "x"], "--url"),
        (["rerank", "--api-kye", "x"], "--api-key"),
    ],
)
def test_a_mistyped_subcommand_or_option_gets_a_suggestion(typed: list[str], meant: str) -> None:
    result = invoke(*typed)
    assert result.exit_code == 2
    assert re.search(rf"(Did you mean|Possible options:) .*{meant}", result.output), result.output


ONE_NAME = {"--key": "--api-key", "--out": "--output", "--keyfile": "--keys-file"}
"""Other spellings of options, each with the one that every command has."""


@EVERY_COMMAND
def test_an_option_has_the_same_name_in_every_command(path: list[str]) -> None:
    for option in options_of(path):
        for other, name in ONE_NAME.items():
            assert other not in option.opts or option.opts[0] == name, option.opts
        is_address = option.metavar == "URL" or option.envvar == "GATEWAY_URL"
        assert not is_address or option.opts[0] in ("--url", "--url-b"), option.opts
        assert option.envvar != "RERANK_API_KEY" or option.opts == ["--api-key", "--key"]
