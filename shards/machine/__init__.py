"""The machine of a shard: devices, threads, memory and NUMA nodes."""
