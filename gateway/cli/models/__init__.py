"""Commands on checkpoints: `download`, `verify`, `convert`, `pack` and `unpack`."""
