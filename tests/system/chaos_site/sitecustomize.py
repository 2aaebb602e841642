"""Makes the fake engine of a gateway under test the chaos engine; see `tests.system.chaos_engine`.

Python imports a module of this name at its start, if it is on the path: so the shards of a real
gateway, which are separate processes, get an engine that the product does not have.
"""

from shards.engines import ENGINES

ENGINES["fake"] = "tests.system.chaos_engine:load"
