"""How many connections this process may have: each takes a file of the few that it may open."""

from __future__ import annotations

import contextlib
import resource
import sys

_OTHERS = 64  # files that are no connections


def most_connections() -> int:
    """How many connections `allow_connections` can let this process have at the most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else max(0, hard - _OTHERS)


def allow_connections(num_connections: int) -> int:
    """Let this process have so many connections, as far as it may; how many it may have now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_connections + _OTHERS
    if soft < wanted and soft != resource.RLIM_INFINITY:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return num_connections if soft == resource.RLIM_INFINITY else max(0, soft - _OTHERS)
