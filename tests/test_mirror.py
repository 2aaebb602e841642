"""Every module has a test: in the mirrored folder, or in the file that the table names for it.

A test of `gateway/http/auth.py` is `tests/gateway/http/test_auth.py`. A module that is tested
through another one stands in tests/tested_through.toml, once, with the file that would fail if the
module were broken.
"""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE: dict[str, str] = tomllib.loads((ROOT / "tests" / "tested_through.toml").read_text())
WITHOUT_CODE = {"__init__.py", "__main__.py"}
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("gateway", "shards")
    for path in (ROOT / package).rglob("*.py")
    if path.name not in WITHOUT_CODE
)


def mirrored(module: Path) -> Path:
    return Path("tests") / module.parent / f"test_{module.name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_a_test(module: Path) -> None:
    has_own = (ROOT / mirrored(module)).is_file()
    through = TABLE.get(module.as_posix())
    assert has_own or through, f"write {mirrored(module)}, or name its test in the table"
    assert not (has_own and through), "the table names a module that has a test of its own"
    assert through is None or (ROOT / through).is_file(), f"{through} is not there"


def test_the_table_names_modules_that_exist() -> None:
    assert set(TABLE) <= {module.as_posix() for module in MODULES}
    assert list(TABLE) == sorted(TABLE)
