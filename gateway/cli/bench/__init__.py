"""`gateway bench`: speed of a server, measured from outside."""
