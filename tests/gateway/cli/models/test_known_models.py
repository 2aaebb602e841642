"""The table of known models has kinds that the tests score; the page is written from it."""

import pytest

from gateway.cli.models.known_models import SERVED, KnownModel
from scripts import models_page
from tests.shards.checkpoint import kinds, late_layouts


@pytest.mark.parametrize("model", SERVED, ids=lambda model: model.name)
def test_a_model_that_is_served_is_of_a_kind_that_is_tested(model: KnownModel) -> None:
    assert model.kind in {**kinds.SERVED, **kinds.BI_ENCODERS, **late_layouts.KINDS}


def test_the_page_is_that_of_the_table() -> None:
    assert models_page.PAGE.read_text(encoding="utf-8") == models_page.page()
