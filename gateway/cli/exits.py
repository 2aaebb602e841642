"""Why a command ended, as its exit code; sysexits.h where it has a word for the case."""

OK = 0
REFUSED = 1  # the request, or the thing asked for, was refused
DEGRADED = 1  # `status`: something scores, not everything is ready
DOWN = 2  # `status`, `rerank`: nothing answers
UNAVAILABLE = 69  # EX_UNAVAILABLE: port in use, hub not reachable
SOFTWARE = 70  # EX_SOFTWARE: a bug of ours, worth a restart
CANNOT_CREATE = 73  # EX_CANTCREAT: a file of ours cannot be written
CONFIG = 78  # EX_CONFIG: systemd must not restart us
