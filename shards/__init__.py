"""Shard processes: each holds one model on one device and turns pairs into margins."""
