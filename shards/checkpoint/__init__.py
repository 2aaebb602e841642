"""From a spec's `source` to a scoring recipe and a loaded model, or a refusal with its reason.

`hub` finds the folder. `weights` checks the safetensors files and `bounded` all others before
anything is built from them. `reading` turns all files into one recipe (`shards.recipe`). `load`
builds the model and lets no tensor be initialised at random. `direct` finds the checkpoints whose
tensors can be read without a built model. `graph` finds an exported graph instead. Of the code that
comes with a checkpoint only chat templates run, in a sandbox, and nothing is unpickled.
"""

from shards.checkpoint.direct import Shapes, stored_shapes, stores_just
from shards.checkpoint.folder import Checkpoint, open_checkpoint
from shards.checkpoint.graph import Graph, is_graph_only, open_graph
from shards.checkpoint.hub import FILES_NEEDED, FILES_NOT_NEEDED
from shards.checkpoint.limits import first_position, longest_pair
from shards.checkpoint.load import load_model, load_state
from shards.checkpoint.reading import expect_engine
from shards.checkpoint.scorers import read_recipe
from shards.checkpoint.weights import read_module

__all__ = [
    "FILES_NEEDED",
    "FILES_NOT_NEEDED",
    "Checkpoint",
    "Graph",
    "Shapes",
    "expect_engine",
    "first_position",
    "is_graph_only",
    "load_model",
    "load_state",
    "longest_pair",
    "open_checkpoint",
    "open_graph",
    "read_module",
    "read_recipe",
    "stored_shapes",
    "stores_just",
]
