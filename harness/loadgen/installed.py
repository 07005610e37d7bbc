"""Whether the installed LoadGen serves for a round, by its version and by its seeds."""

from __future__ import annotations

from build_engine.errors import EnvironmentFault
from build_engine.libraries import installed_version
from harness.loadgen.seeds import installed_seeds
from harness.rules.rounds import LIBRARY, Round, loadgen_problem, loadgen_remedy


def installed_problem(chosen: Round) -> str | None:
    """Why the installed LoadGen does not serve for a round: its version, then the seeds that it
    really has, which a version newer than this round table may have changed. None if fit.
    """
    version, remedy = installed_version(LIBRARY), loadgen_remedy(chosen)
    problem = loadgen_problem(chosen, version)
    if problem is not None:
        return problem
    try:
        seeds = installed_seeds()
    except EnvironmentFault as fault:
        return f"LoadGen {version} is installed and does not work ({fault}): {remedy}"
    if seeds != chosen.loadgen.seeds.by_setting:
        return (
            f"LoadGen {version} does not have the seeds of round {chosen.name}, and the submission "
            f"checker rejects any others; install the right one: {remedy}"
        )
    return None


def require_loadgen(chosen: Round) -> None:
    """Raise EnvironmentFault when the installed LoadGen does not serve for a round."""
    problem = installed_problem(chosen)
    if problem is not None:
        raise EnvironmentFault(problem)
