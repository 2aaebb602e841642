"""The operator's own pairs: read from the file, checked, passed to the shards."""

from pathlib import Path

import pytest

from gateway.config import ConfigError, load, model_specs
from shards.wire.spec import OwnCanary

_MODEL = '[models.m]\nsource = "fake"\nengine = "fake"\ndevices = ["cpu"]\n'
_PAIR = '[[models.m.canaries]]\nquery = "q"\nright = "r"\n'


def read(tmp_path: Path, text: str) -> OwnCanary:
    file = tmp_path / "gateway.toml"
    file.write_text(_MODEL + text)
    (spec,) = model_specs(load(file))
    (canary,) = spec.shards[0].canaries
    return canary


def test_pairs_reach_the_shards(tmp_path: Path) -> None:
    scores = "right_score = 0.9\nwrong_score = 0.1\ntolerance = 0.05\n"
    canary = read(tmp_path, f'canary = "own"\n{_PAIR}wrong = "w"\n{scores}')
    assert canary == OwnCanary(
        query="q", right="r", wrong="w", right_score=0.9, wrong_score=0.1, tolerance=0.05
    )


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (_PAIR, "models.m.canaries.0", "nothing is expected of this canary"),
        (f"{_PAIR}right_score = 0.9\nwrong_score = 0.1\n", "wrong_score", "without a wrong"),
        ('canary = "own"\n', "models.m.canary", "there are none"),
        ('canary = "none"\n', "models.m.canary", "none"),
        (f'{_PAIR}wrong = "w"\nright_score = 7\n', "right_score", "7"),
    ],
)
def test_a_pair_that_cannot_fail_is_refused(
    text: str, key: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    (problem,) = refused.value.problems
    assert key in problem.key
    assert message in str(problem)
