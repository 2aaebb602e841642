"""Log lines about one shard: its name, model and revision are fields of every line."""

import logging
from collections.abc import MutableMapping
from typing import Any

from shards.wire.spec import ShardSpec


class ShardLog(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the fields `shard`, `model` and `revision`.

    The revision of a model counts its configurations since the gateway started, from 1. During a
    reload two revisions have shards of the same name.
    """

    def __init__(self, logger: logging.Logger, spec: ShardSpec, revision: int) -> None:
        super().__init__(logger, {"shard": spec.name, "model": spec.model, "revision": revision})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the fields to those of the line itself."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}
