"""`gateway serve`: configuration, listening sockets, startup log and service watchdog."""
