"""Variables of other servers, and our key for each."""

import pytest
from pydantic import BaseModel

from gateway.config.foreign import SERVERS, foreign_variables
from gateway.config.http_sections import LimitSettings, TlsSettings
from gateway.config.model_sections import ModelSettings
from gateway.config.settings import Settings

SECTIONS: dict[str, type[BaseModel]] = {
    "limits": LimitSettings,
    "tls": TlsSettings,
    "model": ModelSettings,
    "": Settings,
}


def test_every_key_is_one_of_ours() -> None:
    for server in SERVERS.values():
        for option, meaning in server.options.items():
            assert meaning.key or meaning.remark, option
            section, _, key = meaning.key.rpartition(".")
            assert not key or key == "name" or key in SECTIONS[section].model_fields, option


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({"PORT": "80", "HOST": "x"}, ["HOST (GATEWAY_HOST)", "PORT (GATEWAY_PORT)"]),
        ({"LOG_LEVEL": "x"}, ["LOG_LEVEL (GATEWAY_LOG_LEVEL)"]),
        ({"RERANKER_MODEL": "x"}, ["RERANKER_MODEL (source of a model)"]),
        ({"CMW_WORKERS": "2", "CMW_WHAT": "x"}, ["CMW_WHAT (none)", "CMW_WORKERS (replicas of a"]),
        (
            {"MODEL_ID": "x", "PAYLOAD_LIMIT": "1"},
            ["MODEL_ID (source of a", "PAYLOAD_LIMIT (GATEWAY_LIMITS__BODY_BYTES)"],
        ),
        (
            {"INFINITY_PORT": "1", "INFINITY_BATCH_SIZE": "8"},
            ["BATCH_SIZE (none)", "PORT (GATEWAY_"],
        ),
        ({"VLLM_API_KEY": "secret"}, ["VLLM_API_KEY (GATEWAY_KEYS_FILE)"]),
        ({"MOSEC_TIMEOUT": "9"}, ["MOSEC_TIMEOUT (GATEWAY_DEFAULT_TIMEOUT_SECONDS)"]),
    ],
)
def test_our_key_stands_behind_each_variable(environ: dict[str, str], shown: list[str]) -> None:
    line = foreign_variables(environ)
    assert [text for text in shown if text not in line] == []
    assert "secret" not in line
    assert "gateway migrate" in line


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PATH": "x", "HOSTNAME": "box", "REVISION": "1", "API_KEY": "x"},
        {"PORT": "80", "GATEWAY_PORT": "81"},
        {
            "RERANKER_PORT": "tcp://10.0.0.1:80",
            "RERANKER_SERVICE_HOST": "10.0.0.1",
            "RERANKER_SERVICE_PORT": "80",
            "RERANKER_PORT_80_TCP": "tcp://10.0.0.1:80",
        },
    ],
)
def test_other_variables_are_no_concern(environ: dict[str, str]) -> None:
    assert foreign_variables(environ) == ""
