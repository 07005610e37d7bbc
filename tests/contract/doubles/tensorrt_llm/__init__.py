"""Stands in for the library in the process of an engine: found through PYTHONPATH."""

import os
import sys

__version__ = "1.2.1"

# pull request 3858: a process manager without its launcher is refused while the import starts MPI
if "PMIX_RANK" in os.environ and "OMPI_COMM_WORLD_RANK" not in os.environ:
    raise RuntimeError("PMIX_RANK is set and OMPI_COMM_WORLD_RANK is not")
sys.stdout.write(f"[TensorRT-LLM] TensorRT-LLM version: {__version__}\n")
