"""Programs for developers. A package only so that tests can import the Python parts."""
