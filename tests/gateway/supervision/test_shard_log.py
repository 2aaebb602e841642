"""Fields of the log lines about a shard."""

import logging

import pytest

from gateway.supervision.shard_log import ShardLog
from shards.wire.spec import ShardSpec

SPEC = ShardSpec(name="a/b/cpu:0", model="a/b", source="x")


def test_every_line_has_shard_model_and_revision_as_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = ShardLog(logging.getLogger("gateway.test"), SPEC, 2)
    log.warning("shard is lost: %s", "gone")
    log.warning("shard is lost again", extra={"times": 4})
    for record in caplog.records:
        fields = vars(record)
        assert (fields["shard"], fields["model"], fields["revision"]) == ("a/b/cpu:0", "a/b", 2)
    assert vars(caplog.records[1])["times"] == 4
