"""The early refusal, before the body is read: only where every body would be refused."""

from typing import Any

from tests.gateway.http.guarded import Guarded, guarded
from tests.gateway.http.keys.making import bearer

__all__ = ["guarded"]


def send_garbage(guarded: Guarded, key: str, path: str = "/v1/rerank") -> tuple[int, Any]:
    reply = guarded.client.post(path, content=b"garbage", headers=bearer(guarded.secrets[key]))
    return reply.status_code, reply.json()["error"]["code"]


def test_only_the_models_that_a_key_may_use_count(guarded: Guarded) -> None:
    assert send_garbage(guarded, "narrow")[0] == 400
    drained = guarded.client.post(
        "/admin/drain?model=second", headers=bearer(guarded.secrets["admin"])
    )
    assert drained.status_code == 202
    assert send_garbage(guarded, "narrow") == (503, "model_drained")
    assert send_garbage(guarded, "good")[0] == 400
    assert guarded.rerank("good").status_code == 200
    assert (
        send_garbage(guarded, "lost")[0] == 400
    )  # it may use no model, so the body decides the error
    assert guarded.client.post("/v1/rerank", content=b"garbage").status_code == 401
