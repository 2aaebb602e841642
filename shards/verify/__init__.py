"""Proves that a checkpoint is scored as it should be: `gateway verify MODEL`.

It runs in a process of its own, started by the command as a shard is, and writes one JSON object a
line: how far it is, and at last the report.
"""
