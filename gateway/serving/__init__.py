"""From a request to its result: scatter and gather, the fleet, revisions and reloads."""
