"""Shard processes: start, watch, eject, restart and stop."""
