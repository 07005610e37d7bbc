"""Every error of the project, and the exit code the command line gives for it.

EnginebenchError
  +-- UsageError            2   what was asked for cannot be done as asked
  |     +-- UnknownName         a recipe, target, workload, scenario or model that does not exist
  |     +-- ConfigError         a configuration file or `--set` with a wrong key or value
  |     +-- CheckpointError     a checkpoint that is incomplete, damaged or not a supported Llama
  |     +-- DatasetError        a dataset that is empty, broken or does not fit the engine
  |     +-- RecipeRefused       a recipe that the target cannot honestly execute
  |     +-- EngineError         an engine folder that is damaged, foreign or of another version
  |     +-- RunExists           a run folder that is already there
  +-- EnvironmentFault      3   the machine lacks something
  |     +-- MissingLibrary      an extra that is not installed
  |     +-- OutputError         a folder that cannot be written, or a full disk
  +-- ResultProblem         1   the run worked, its result does not pass
  |     +-- NotPacked           runs that cannot become a submission, each reason by itself
  +-- BuildFailed           4   the library that compiles engines failed, or built something else
  +-- RunFailed             4   a run ended before its result was complete
  |     +-- EngineDied          the executor's engine is gone
  +-- Interrupted         130   the user stopped it

Code raises; only `harness.cli` turns an error into an exit.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_RESULT = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_FAILED = 4
EXIT_INTERRUPTED = 130


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """ " Did you mean `x`?" with the nearest of the valid names, "" where none is near."""
    names = list(valid)
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.45)
    nearest = next((n for n in names if near and n.lower() == near[0]), None)
    return f" Did you mean `{nearest}`?" if nearest else ""


class EnginebenchError(Exception):
    """Base of all errors that a user may see: one sentence with the remedy, never a traceback."""

    exit_code = EXIT_FAILED


class UsageError(EnginebenchError):
    """What was asked for cannot be done as asked."""

    exit_code = EXIT_USAGE


class UnknownName(UsageError):
    """A name that is not one of the valid names; `others` describes what else would be taken."""

    def __init__(
        self, kind: str, name: str, valid: Iterable[str], others: Iterable[str] = ()
    ) -> None:
        names = sorted(valid)
        hint = did_you_mean(name, names)
        told = ", ".join((*names, *others))
        super().__init__(f"Unknown {kind} `{name}`.{hint} Valid: {told}.")


class ConfigError(UsageError):
    """A configuration with an unknown key or a value that is out of range."""


class CheckpointError(UsageError):
    """A checkpoint that is incomplete, damaged, or not a Llama this project can build."""


class DatasetError(UsageError):
    """A dataset that is empty, broken, or does not fit the engine."""


class RecipeRefused(UsageError):
    """A recipe that the target cannot honestly execute."""


class EngineError(UsageError):
    """An engine folder that is damaged, built by another version, or for another machine."""


class RunExists(UsageError):
    """A run folder that already holds a run."""


class EnvironmentFault(EnginebenchError):
    """The machine lacks something that the command needs."""

    exit_code = EXIT_ENVIRONMENT


class MissingLibrary(EnvironmentFault):
    """A library of an optional extra is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"`{library}` is not installed; install it with: pip install 'enginebench[{extra}]'"
        )


class OutputError(EnvironmentFault):
    """A folder that cannot be written to."""


class ResultProblem(EnginebenchError):
    """The run completed, and its result does not pass."""

    exit_code = EXIT_RESULT


class NotPacked(ResultProblem):
    """Runs that cannot become a submission; `reasons` are sentences."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("Not packed. " + " ".join(self.reasons))


class BuildFailed(EnginebenchError):
    """The library that compiles engines failed, or did something else than it was asked for."""


class RunFailed(EnginebenchError):
    """A run ended before its result was complete."""

    exit_code = EXIT_FAILED


class EngineDied(RunFailed):
    """The executor's engine is gone; raised by `Executor.poll` from then on."""


class Interrupted(EnginebenchError):
    """The user stopped the command; `again` are the words of the one that goes on, if any does."""

    exit_code = EXIT_INTERRUPTED

    def __init__(self, message: str, again: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.again = tuple(again)
