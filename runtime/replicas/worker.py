"""The process of the head: it is Ray's driver, and talks with the process that started it.

It ends, with all that it has started, when that one hangs up.
"""

from __future__ import annotations

from runtime.messages import Start
from runtime.process import Line
from runtime.replicas.cluster import actors, connected, loaded, offer_of
from runtime.replicas.ears import Ears, lead, obey, telling
from runtime.replicas.head import Head
from runtime.replicas.machines import nodes
from runtime.replicas.messages import Survey
from runtime.replicas.spec import ReplicasSpec


def _serve(spec: ReplicasSpec, line: Line, ears: Ears) -> None:
    """Start the replicas, and be their head until the other end hangs up."""
    offer = offer_of(spec)
    with connected(spec.address), actors(spec) as made, telling(line):
        handles, each = loaded(made, spec, offer, ears.hung_up.is_set)
        head = Head(handles, each, tolerate_failures=spec.tolerate_failures)
        lead(head, line, ears)


def _survey(asked: Survey, line: Line) -> None:
    with connected(asked.address):
        line.send(nodes(cores=asked.cores))


def _begin(first: object, line: Line) -> None:
    if isinstance(first, Survey):
        _survey(first, line)
        return
    assert isinstance(first, Start)
    assert isinstance(first.spec, ReplicasSpec)
    _serve(first.spec, line, Ears(line))


def main() -> None:
    """Serve the process that started us."""
    obey(_begin)


if __name__ == "__main__":
    main()
