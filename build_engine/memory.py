"""The address space that this process may take (`ulimit -v`), where somebody limited it."""

from __future__ import annotations

import resource

from build_engine.errors import EnvironmentFault

# The smallest engine is built in 0.6 GB of it and executed in 1.1 GB; with less, OpenVINO may wait
# without end for threads that it could not start.
_LEAST_BYTES = 3 * 2**29


def require_address_space(what: str = "an engine") -> None:
    """Raise EnvironmentFault where there is no space for `what`, which starts threads."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _LEAST_BYTES:
        raise EnvironmentFault(
            f"This process may take {limit / 2**30:.2f} GiB of address space, and {what} needs "
            f"{_LEAST_BYTES / 2**30:g} GiB or more; raise that limit (ulimit -v)."
        )
