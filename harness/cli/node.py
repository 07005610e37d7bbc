"""`python -m harness.cli.node`: what the scripts of `deploy/` start on each machine. It is no
command for people, who have those scripts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from build_engine.errors import EXIT_OK, EnginebenchError, UsageError
from harness.streams import tell, write
from runtime.replicas.node import Leash, address_of, head, versions, worker

_WORDS = "versions, address NAME, worker HEAD:PORT SECONDS, or head IP:PORT NODES SECONDS COMMAND"


def main(words: Sequence[str]) -> int:
    """The exit code of what is asked for; one sentence where it cannot be done."""
    try:
        match words:
            case ["versions"]:
                write(sys.stdout, f"{versions()}\n")
                return EXIT_OK
            case ["address", name]:
                write(sys.stdout, f"{address_of(name)}\n")
                return EXIT_OK
            case ["worker", address, limit_s]:
                return worker(address, float(limit_s), Leash())
            case ["head", address, num_nodes, limit_s, *command]:
                return head(address, int(num_nodes), float(limit_s), command, Leash())
        raise UsageError(f"A node takes {_WORDS}; use the scripts in deploy/.")
    except EnginebenchError as error:
        tell(sys.stderr, f"enginebench: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
