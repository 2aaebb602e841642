"""Engines of Apple's MLX: on Apple silicon its GPU computes, elsewhere MLX's own CPU backend."""
