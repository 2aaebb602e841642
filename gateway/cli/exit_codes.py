"""Exit codes of all commands, by sysexits.h where it has a code for the case."""

OK = 0
REFUSED = 1  # the request, or an input, was refused
DEGRADED = 1  # `status`: some models score, not all are ready
DOWN = 2  # `status`, `rerank`: no gateway answers
BAD_DATA = 65  # EX_DATAERR: rows of an input are malformed; the others were answered
NO_INPUT = 66  # EX_NOINPUT: `serve`: the folder of every model is missing
UNAVAILABLE = 69  # EX_UNAVAILABLE: port in use, hub not reachable
SOFTWARE = 70  # EX_SOFTWARE: a bug of the gateway, worth a restart
CANNOT_CREATE = 73  # EX_CANTCREAT: an output file cannot be written
CONFIG = 78  # EX_CONFIG: systemd must not restart the gateway
INTERRUPTED = 130  # Ctrl-C, as shells report it: 128 and the number of SIGINT
