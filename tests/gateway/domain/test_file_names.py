"""Names of files are left out of texts for clients."""

import pytest

from gateway.domain.file_names import without_files


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/models/a is broken", "(a file)"),
        ("/srv/my models/private weights/config.json: no JSON", "(a file): no JSON"),
        ("cannot read '/srv/a b/c' (No such file)", "cannot read '(a file)' (No such file)"),
        ("~/models/a, ../b/c; ./d/e", "(a file), (a file); (a file)"),
        ("tokens/s and/or 1/2 at /livez", "tokens/s and/or 1/2 at /livez"),
        ("model 'org/name' cannot score now", "model 'org/name' cannot score now"),
    ],
)
def test_paths_are_left_out(text: str, shown: str) -> None:
    assert without_files(text) == shown
