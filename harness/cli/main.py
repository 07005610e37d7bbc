"""The command line: commands by name, loaded when they are called, and errors turned into exit
codes.

`enginebench --help` must come at once, so a command's module (and all that it imports) is loaded
only when the command is run; what the list of commands says about it stands here.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from cyclopts import App, CycloptsError

from build_engine.errors import (
    EXIT_ENVIRONMENT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    EnginebenchError,
)

_COMMANDS = {
    "doctor": "Check this machine: what can be built and run here, and what is missing.",
    "targets": "List the GPU types and CPUs that engines are built for.",
    "recipes": "List the quantisation recipes, and where each can run.",
    "dataset": "Prepare a dataset, or show what is in it.",
    "build": "Build an engine from a checkpoint, once.",
    "engines": "List, explain, verify and remove built engines.",
    "run": "Benchmark an engine with MLPerf LoadGen.",
    "audit": "Run the compliance test TEST06 on a finished run.",
    "submission": "Pack runs into an MLPerf submission, and check one.",
    "demo": "Build three engines of a small model and benchmark them, in about two minutes.",
}

_GROUPS = ("engines", "submission")  # commands with commands of their own

_HELP = "Compile Llama checkpoints into quantised engines, and measure them with MLPerf LoadGen."

_EPILOGUE = "Exit codes: 0 success, 1 the result does not pass, 2 usage, 3 environment, 4 run failed, 130 interrupted."


def make_app() -> App:
    """The application with its commands, none of them loaded yet."""
    app = App(
        name="enginebench",
        help=_HELP,
        help_epilogue=_EPILOGUE,
        version=_version,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for name, text in _COMMANDS.items():
        attribute = "app" if name in _GROUPS else name
        app.command(f"harness.cli.{name}:{attribute}", name=name, help=text)
    return app


def run(arguments: list[str]) -> int:
    """Run one command line; the exit code."""
    try:
        code = make_app()(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _report(str(error), EXIT_USAGE, arguments)
    except EnginebenchError as error:
        return _report(str(error), error.exit_code, arguments)
    except KeyboardInterrupt:
        return _report("Interrupted.", EXIT_INTERRUPTED, arguments)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; a message would have nowhere to go
        return EXIT_OK
    except OSError as error:
        return _report(_os_error(error), EXIT_ENVIRONMENT, arguments)
    return code if isinstance(code, int) else EXIT_OK


def main() -> None:
    """The `enginebench` command."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """A request to end is treated as Ctrl-C: what was measured is kept, and no process stays."""
    raise KeyboardInterrupt


def _report(text: str, code: int, arguments: list[str]) -> int:
    from harness.cli.output import Output

    Output(as_json="--json" in arguments).error(" ".join(text.split()), code)
    return code


def _os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"The system refused: {error.strerror or error}{where}."


def _version() -> str:
    from harness.machine import version_of

    return version_of("enginebench") or "unknown"
