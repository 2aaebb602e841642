"""`gateway doctor`: obstacles to serving on this machine, each with a remedy."""
