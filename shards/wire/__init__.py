"""The protocol between the gateway and its shards. Standard library only; imported by both."""
