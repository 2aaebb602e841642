"""How fast a gateway answers, measured from outside: `gateway bench`."""
