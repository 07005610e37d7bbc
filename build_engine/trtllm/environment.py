"""The environment of every process that imports TensorRT-LLM.

The import starts MPI. By what a process manager (Slurm, PMIx, Open MPI's mpirun) leaves in the
environment MPI waits for partners that do not exist, so nothing of it is passed on.
"""

from __future__ import annotations

from collections.abc import Mapping

_MANAGERS = ("SLURM_", "PMI_", "PMI2_", "PMIX_", "PRTE_", "OMPI_", "ORTE_", "HYDRA_", "PALS_")
_SETTINGS = "_MCA_"  # of Open MPI and PMIx: how, not whether, they run
# but with these mpirun tells a program that it is part of a job, and where its server is
_OF_A_JOB = ("OMPI_MCA_ess", "OMPI_MCA_orte_", "OMPI_MCA_pmix")


def without_launchers(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what a process manager left in it."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_OF_A_JOB) and (not name.startswith(_MANAGERS) or _SETTINGS in name)
    }
