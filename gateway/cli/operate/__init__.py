"""Commands that operate a gateway: `status`, `reload`, `drain`, `check` and `key`."""
