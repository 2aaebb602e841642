"""From a spec's `source` to a loaded transformers model, or a refusal that says what is wrong.

`hub` finds the folder, `weights` checks the safetensors files before anything is loaded, `kind`
tells which engine fits, `load` builds the model and lets no tensor be initialised at random, `direct`
tells when its tensors can be read without building it; `graph` finds an exported graph instead. Nothing
here runs code that comes with a checkpoint, and nothing unpickles.
"""

from shards.checkpoint.direct import Shapes, stored_shapes, stores_just
from shards.checkpoint.folder import Checkpoint, open_checkpoint
from shards.checkpoint.graph import Graph, is_graph_only, open_graph
from shards.checkpoint.hub import FILES_NEEDED, FILES_NOT_NEEDED
from shards.checkpoint.kind import engine_name, expect_engine
from shards.checkpoint.limits import first_position, longest_pair
from shards.checkpoint.load import load_model

__all__ = [
    "FILES_NEEDED",
    "FILES_NOT_NEEDED",
    "Checkpoint",
    "Graph",
    "Shapes",
    "engine_name",
    "expect_engine",
    "first_position",
    "is_graph_only",
    "load_model",
    "longest_pair",
    "open_checkpoint",
    "open_graph",
    "stored_shapes",
    "stores_just",
]
