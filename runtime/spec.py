"""What an executor is made from: small, frozen, and written as JSON for the process that will load
it.

Each backend has a class of its own beside its executor; `runtime/backend.py` reads them back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveInt

from build_engine.validation import Frozen

if TYPE_CHECKING:
    from build_engine.store.engine import Engine


class ExecutorSpec(Frozen):
    """Names its backend, which a subclass fixes as `backend: Literal["…"] = "…"`."""

    backend: str

    @property
    def engine_folder(self) -> Path | None:
        """The folder of the engine that is executed; None where there is none."""
        return None

    @property
    def answers_by(self) -> str:
        """The backend that computes the answers: this one, unless it hands them out."""
        return self.backend

    @property
    def tolerates_failures(self) -> bool:
        """Whether it goes on when a part of it is lost."""
        return False

    @property
    def on_other_machines(self) -> bool:
        """Whether machines other than this one may take part."""
        return False

    @property
    def is_served(self) -> bool:
        """Whether servers of others compute the answers, so that their time and memory are not seen
        here, and what they are is known only by what is said of them.
        """
        return False

    @property
    def idle_limit_s(self) -> float:
        """Seconds without a sign after which it gives its engine up by itself; 0 where it waits."""
        return 0.0

    @property
    def hides_caching(self) -> bool:
        """Whether it is not known if answers reuse what was computed for earlier requests."""
        return False

    @property
    def counts_by_tokenizer(self) -> bool:
        """Whether the ids of answers are those that a tokenizer makes of their text."""
        return False

    @property
    def num_replicas(self) -> int:
        """Engines that share the requests."""
        return 1

    @property
    def max_in_flight(self) -> int | None:
        """Requests that it computes at once; None where that is not known. Raises EngineError."""
        return None

    @property
    def own_batch_size(self) -> int | None:
        """Requests in flight that it is limited to, whatever its engine was built for; None where
        that decides.
        """
        return None

    def limited(self, max_batch_size: int, max_num_tokens: int) -> ExecutorSpec | None:
        """The same engine with other limits of its scheduler: requests in flight, and tokens of one
        iteration, both within what it was built for; None where they cannot be set without a build.
        """
        return None

    def on_part(self, num_cores: int, num_sharing: int) -> ExecutorSpec:
        """The same for a part of a machine: so many physical cores, and a memory that it shares
        with others, `num_sharing` of them in all.
        """
        return self


class EngineFolderSpec(ExecutorSpec):
    """Executes an engine of the store."""

    folder: Path

    @classmethod
    def of(cls, engine: Engine) -> EngineFolderSpec:
        """What executes an engine, as it was planned."""
        return cls(backend=engine.backend, folder=engine.folder)

    @property
    def engine_folder(self) -> Path | None:
        """See `ExecutorSpec.engine_folder`."""
        return self.folder

    @property
    def max_in_flight(self) -> int | None:
        """See `ExecutorSpec.max_in_flight`."""
        from build_engine.store.engine import Engine

        return Engine.load(self.folder).limits.max_batch_size


class LimitedFolderSpec(EngineFolderSpec):
    """Executes an engine of the store whose scheduler takes its limits when it is loaded."""

    max_batch_size: PositiveInt | None = None
    """Requests in flight, at most; None takes the engine's."""
    max_num_tokens: PositiveInt | None = None
    """Tokens of one iteration, at most; None takes the engine's."""

    @property
    def max_in_flight(self) -> int | None:
        """See `ExecutorSpec.max_in_flight`."""
        return self.max_batch_size or super().max_in_flight

    @property
    def own_batch_size(self) -> int | None:
        """See `ExecutorSpec.own_batch_size`."""
        return self.max_batch_size

    def limited(self, max_batch_size: int, max_num_tokens: int) -> LimitedFolderSpec:
        """See `ExecutorSpec.limited`."""
        return self.model_copy(
            update={"max_batch_size": max_batch_size, "max_num_tokens": max_num_tokens}
        )
