"""Commands that operate a gateway: `status`, `reload`, `drain`, `load`, `check` and `key`."""
