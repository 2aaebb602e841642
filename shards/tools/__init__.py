"""Programs that run in a process of their own: convert, examine and verify."""
