"""The request of `gateway key revoke` to a running gateway: to read its keys at once."""

import contextlib
from pathlib import Path
from typing import Any

from gateway.cli.operator_socket import UNIX
from gateway.cli.remote import NotAnswering, Target, default_url, fetch_json, operator_url, refusal

SECONDS = 5.0
"""The time limit of each request: the key is revoked in the file in any case."""


def admin_socket(config: Path | None) -> Target | None:
    """Return the operator's socket of a configuration, or that of this machine, if there is one."""
    from gateway.config import ConfigError, load

    found = default_url()
    if config is not None:
        with contextlib.suppress(ConfigError):  # the key is revoked all the same
            settings = load(config)
            named = settings.admin_socket
            found = f"{UNIX}{named}" if named else operator_url(f"http://127.0.0.1:{settings.port}")
    target = Target(found)
    return target if target.socket and Path(target.socket).is_socket() else None


def refused_by(id_: str, gateway: Target | None) -> str:
    """Have a gateway read its keys; return a sentence about its state, empty without a gateway."""
    if gateway is None:
        return ""
    try:
        found = fetch_json(gateway, "/admin/reload", method="POST", seconds=SECONDS, keys="true")
        outcome = found.get("keys") if isinstance(found, dict) else None
        if not isinstance(outcome, dict):
            return f"The gateway at {gateway} has not taken it: {refusal(gateway, found)}"
        if not outcome["ok"]:
            return f"The gateway at {gateway} has not taken it: {'; '.join(outcome['errors'])}"
        status = fetch_json(gateway, "/status", seconds=SECONDS)
    except NotAnswering as error:
        return f"No gateway has taken it: {error}"
    return _sentence(id_, gateway, status)


def _sentence(id_: str, gateway: Target, status: dict[str, Any]) -> str:
    states = [key["state"] for key in status.get("keys", ()) if key["id"] == id_]
    if states == ["revoked"]:
        return f"The gateway at {gateway} refuses it from now on"
    return f"The gateway at {gateway} has other keys: `gateway reload` for the one that has this"
