"""Instructions by name, alone, in the configuration and in requests."""

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ConfigError, ModelSettings, Settings, model_specs
from gateway.config.load import load
from gateway.domain.named_instructions import UnknownInstruction, instruction_of

TABLE = {"legal": "Find the law.", "medical": "Find the cure."}


def test_a_name_means_its_text_and_a_text_itself() -> None:
    assert instruction_of("@legal", TABLE) == "Find the law."
    for text in ("legal", "@legal texts only", "@", "", "mail a@b"):
        assert instruction_of(text, TABLE) == text
    assert instruction_of("@legal", {}) == "@legal"  # no table, no names


@pytest.mark.parametrize(
    ("text", "hint"),
    [("@legla", "did you mean @legal?"), ("@Legal", "did you mean @legal?"), ("@x", "@medical")],
)
def test_an_unknown_name_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(UnknownInstruction, match="there is no instruction") as raised:
        instruction_of(text, TABLE)
    assert hint in str(raised.value)


def test_a_model_may_name_its_instruction() -> None:
    model = ModelSettings(source="fake", engine="fake", devices=("cpu",), instruction="@legal")
    settings = Settings(models={"m": model}, instructions=TABLE)
    (spec,) = model_specs(settings)
    assert [shard.instruction for shard in spec.shards] == ["Find the law."]


def test_a_model_with_an_unknown_name_is_a_problem() -> None:
    model = {"source": "fake", "engine": "fake", "instruction": "@legla"}
    with pytest.raises(ConfigError) as raised:
        load(None, {"models": {"m": model}, "instructions": TABLE})
    (problem,) = raised.value.problems
    assert problem.key == "models.m.instruction"
    assert "did you mean @legal?" in problem.message


def test_requests_name_instructions_and_the_list_of_models_has_the_names() -> None:
    model = ModelSettings(source="fake", engine="fake", devices=("cpu",))
    body = {"query": "q", "documents": ["a"]}
    with TestClient(create_app(Settings(models={"m": model}, instructions=TABLE))) as client:
        assert client.get("/v1/models").json()["instructions"] == ["@legal", "@medical"]
        assert client.post("/v1/rerank", json={**body, "instruction": "@legal"}).is_success
        refused = client.post("/v1/rerank", json={**body, "instruction": "@legla"})
        pair = {"pairs": [{"query": "q", "passage": "a", "instruction": "@legla"}]}
        refused_pair = client.post("/score", json=pair)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "instruction"
    assert "did you mean @legal?" in refused.json()["message"]
    assert refused_pair.status_code == 400
