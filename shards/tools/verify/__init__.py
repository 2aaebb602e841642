"""The verification that a checkpoint is scored as it should be: `gateway verify MODEL`.

A verification runs in a process of its own, which the command starts like a shard. The process
writes one JSON object a line: its progress, and at last the report.
"""
