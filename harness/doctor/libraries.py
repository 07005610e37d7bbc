"""The libraries that build, execute and measure engines here."""

from __future__ import annotations

from build_engine.backend import Backend, backends
from build_engine.libraries import installed_version
from harness.doctor.check import Check, advise, require
from harness.loadgen.installed import installed_problem
from harness.rules.rounds import LIBRARY, Round, loadgen_remedy


def library_checks() -> list[Check]:
    """Those of every backend. What an extra installs may be missing where another backend is here:
    in a GPU container.
    """
    kinds = backends().values()
    others = (kind.framework_library for kind in kinds if kind.extra is None)
    graded = advise if any(map(installed_version, others)) else require
    found = []
    for kind in kinds:
        if kind.extra is None:
            found.append(_framework(kind))
            continue
        for library in kind.build_libraries:
            version = installed_version(library)
            remedy = f"pip install 'enginebench[{kind.extra}]'"
            found.append(graded(library, version is not None, version or "not installed", remedy))
    return found


def loadgen_check(chosen: Round) -> Check:
    """LoadGen, in the version and with the seeds of a round."""
    problem = installed_problem(chosen)
    fits = f"{installed_version(LIBRARY)}, for round {chosen.name}"
    return require("MLPerf LoadGen", problem is None, problem or fits, loadgen_remedy(chosen))


def _framework(kind: Backend) -> Check:
    """A backend whose libraries come otherwise than by an extra."""
    version = installed_version(kind.framework_library)
    finding = version or f"not installed; its engines {kind.absent}"
    return advise(kind.framework, version is not None, finding)
