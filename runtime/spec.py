"""What an executor is made from: small, frozen, and written as JSON for the process that will load
it.

Each backend has a class of its own beside its executor; `runtime/backend.py` reads them back.
"""

from __future__ import annotations

from pathlib import Path

from build_engine.validation import Frozen


class ExecutorSpec(Frozen):
    """Names its backend, which a subclass fixes as `backend: Literal["…"] = "…"`."""

    backend: str

    @property
    def engine_folder(self) -> Path | None:
        """The folder of the engine that is executed; None where there is none."""
        return None


class EngineFolderSpec(ExecutorSpec):
    """Executes an engine of the store."""

    folder: Path

    @property
    def engine_folder(self) -> Path | None:
        """See `ExecutorSpec.engine_folder`."""
        return self.folder
