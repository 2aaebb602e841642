"""What the gateway and its shards say to each other. Standard library only; imported by both."""
