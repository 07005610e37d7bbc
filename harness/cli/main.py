"""The command line: commands by name, loaded when they are called, and errors turned into exit
codes.

`enginebench --help` must come at once: the list of commands stands here and is written without any
library, and a command's module (with all that it imports) is loaded only when the command is run.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from build_engine.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EnginebenchError,
    Interrupted,
    UnknownName,
    UsageError,
)
from build_engine.libraries import was_interrupted
from harness.cli.help import HelpPages, help_console
from harness.cli.program import NAME
from harness.streams import finish, prepare, tell, write

if TYPE_CHECKING:
    from cyclopts import App, UnknownCommandError

_COMMANDS = {
    "doctor": "Check this machine: what can be built and run here, and what is missing.",
    "targets": "List the GPU types and CPUs that engines are built for.",
    "recipes": "List the quantisation recipes, and where each can run.",
    "workloads": "List the workloads: what is asked, by which rules, and what can be changed.",
    "plan": "Say what will fit, how fast it can be, and how long it takes.",
    "dataset": "Prepare a dataset, or show what is in it.",
    "build": "Build an engine from a checkpoint, once.",
    "engines": "List, explain, verify and remove built engines.",
    "run": "Benchmark an engine with MLPerf LoadGen.",
    "endpoint": "Benchmark an OpenAI-compatible server with MLPerf LoadGen.",
    "serve": "Answer OpenAI's requests with a built engine.",
    "sweep": "Measure several recipes of a model in turn, and show which one to run.",
    "scaling": "Measure one replica of an engine and more, and say what each brings.",
    "search": "Find the highest rate of Server or Interactive whose run is VALID.",
    "report": "Show runs as one HTML page: which recipe to run, and on what evidence.",
    "compare": "Say how runs differ, and whether that is more than noise.",
    "runs": "Find runs, of any time.",
    "audit": "Run the compliance test TEST06 on a finished run.",
    "submission": "Pack runs into an MLPerf submission, and check one.",
    "demo": "Build three engines of a small model and benchmark them, in a few minutes.",
}

_MOST_CHARS = 4000  # of what is said of an error: a value from a file may be as long as the file

_NO_NAME = re.compile(r"[^\s/]{256,}")  # longer than the name of any file

_TELLING_S = 1.0  # in which the last words are surely told; one that hangs can be ended then
_GROUPS = ("engines", "runs", "submission")  # commands with commands of their own

_COMPLETION = "Teach bash, zsh or fish to complete commands and options by Tab."

_HELP = "Compile Llama checkpoints into quantised engines, and measure them with MLPerf LoadGen."

_EPILOGUE = (
    "Exit codes: 0 success, 1 the result does not pass, 2 usage, 3 environment, 4 run failed, "
    "130 interrupted."
)

_PRINTED_BY_CYCLOPTS = frozenset({"--help", "-h", "--version"})


def make_app() -> App:
    """The application with its commands, none of them loaded yet."""
    from cyclopts import App, Parameter

    from harness.cli.options import option_name

    app = App(
        name=NAME,
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",  # what it says of options has no markup, and Markdown loads slowly
        help_formatter=HelpPages(),
        version=_version,
        # no --no-json, no --empty-set
        default_parameter=Parameter(negative=(), name_transform=option_name),
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for name, text in _COMMANDS.items():
        attribute = "app" if name in _GROUPS else name
        app.command(f"harness.cli.{name}:{attribute}", name=name, help=text)
    app.command(
        "harness.cli.completion:install", name="--install-completion", help=_COMPLETION, show=False
    )
    return app


def run(arguments: list[str]) -> int:
    """Run one command line; the exit code. Raises nothing, whatever happens."""
    try:
        try:
            return _call(arguments)
        except Interrupted as error:
            return _report(str(error), error.exit_code, arguments, error.again)
        except EnginebenchError as error:
            return _report(str(error), error.exit_code, arguments)
        except KeyboardInterrupt:
            return _report("Interrupted.", EXIT_INTERRUPTED, arguments)
        except OSError as error:
            return _report(_os_error(error), EXIT_ENVIRONMENT, arguments)
        except BaseException as error:  # a panic of a library written in Rust is no Exception
            if isinstance(error, ImportError) and was_interrupted(error):
                return _report("Interrupted.", EXIT_INTERRUPTED, arguments)
            return _report(_last_words(error, arguments), EXIT_FAILED, arguments)
    except KeyboardInterrupt:  # once more, while the first was told of
        return EXIT_INTERRUPTED


def main() -> None:
    """The `enginebench` command."""
    try:
        prepare()
        faulthandler.enable()  # a library that crashes would end the command without a word
        signal.signal(signal.SIGTERM, _interrupt)
        code = run(sys.argv[1:])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        code = code if finish() else code or EXIT_ENVIRONMENT
    except KeyboardInterrupt:  # between two of these lines
        code = EXIT_INTERRUPTED
    # Python's own end would wait for threads, and give signals back their default meanwhile: a
    # second Ctrl-C would be the exit code
    os._exit(code)


def _overview() -> str:
    """What `--help` says of the program as a whole."""
    width = max(map(len, _COMMANDS))
    commands = "".join(f"  {name:{width}}  {_COMMANDS[name]}\n" for name in sorted(_COMMANDS))
    return (
        f"{_HELP}\n\nUsage: enginebench COMMAND [OPTIONS]\n\n{commands}\n"
        f"`enginebench COMMAND --help` explains a command, `enginebench --version` says the "
        f"version,\n`enginebench --install-completion` completes commands and options by Tab.\n"
        f"{_EPILOGUE}\n"
    )


def _call(arguments: list[str]) -> int:
    """Parse the arguments and call the command. Raises UsageError for arguments that do not
    parse.
    """
    if arguments in ([], ["--help"], ["-h"]):
        write(sys.stdout, _overview())
        return EXIT_OK
    from cyclopts import CycloptsError, UnknownCommandError, UnusedCliTokensError

    console = help_console() if _PRINTED_BY_CYCLOPTS.intersection(arguments) else None
    try:
        code = make_app()(arguments, console=console, exit_on_error=False, print_error=False)
    except UnknownCommandError as error:
        # its own text would load every command, to ask each for synonyms
        where = error.command_chain or ()
        token = (error.unused_tokens or ("",))[0]
        valid = _COMMANDS if not where else _subcommands(error)
        raise UnknownName(" ".join((*where, "command")), token, valid) from None
    except CycloptsError as error:
        text = str(error).strip()
        if isinstance(error, UnusedCliTokensError):
            text = f"Nothing takes `{' '.join(error.unused_tokens or ())}`."
        command = " ".join(("enginebench", *(error.command_chain or ())))
        raise UsageError(f"{text} `{command} --help` shows its options.") from None
    return code if isinstance(code, int) else EXIT_OK


def _subcommands(error: UnknownCommandError) -> list[str]:
    assert error.app is not None
    return [name for name in error.app if not name.startswith("-")]


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """A request to end is treated as Ctrl-C: what was measured is kept, and no process stays."""
    raise KeyboardInterrupt


def _end(_signal: int, _frame: FrameType | None) -> None:
    """Asked to end while Python ends: whatever it still waits for is not worth waiting for."""
    os._exit(EXIT_INTERRUPTED)


def _report(text: str, code: int, arguments: list[str], again: Sequence[str] = ()) -> int:
    """Say why the command ends, and how it goes on; `code`. Somebody who keeps pressing Ctrl-C gets
    to read it all the same.
    """
    if code != EXIT_INTERRUPTED or threading.current_thread() is not threading.main_thread():
        return _tell(text, code, arguments, again)
    began_s = time.monotonic()

    def wait(_signal: int, _frame: FrameType | None) -> None:
        if time.monotonic() - began_s > _TELLING_S:
            os._exit(EXIT_INTERRUPTED)

    before = {number: signal.signal(number, wait) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _tell(text, code, arguments, again)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(text: str, code: int, arguments: list[str], again: Sequence[str]) -> int:
    sentence = _NO_NAME.sub(lambda found: f"{found.group()[:57]}...", " ".join(text.split()))
    if len(sentence) > _MOST_CHARS:
        sentence = f"{sentence[:_MOST_CHARS]}..."
    try:
        from harness.cli.output import Output

        out = Output(as_json="--json" in arguments)
        out.error(sentence, code)
        if again:
            out.next(*again)
    except OSError:  # standard output is full; standard error has it
        pass
    except Exception:  # no memory for a library that prints
        tell(sys.stderr, f"{NAME}: {sentence}\n")
    return code


def _last_words(error: BaseException, arguments: list[str]) -> str:
    try:
        from harness.cli.crash import last_words

        return last_words(error, arguments)
    except Exception:  # no memory for that, either
        return f"An unexpected error ended the command ({type(error).__name__})."


def _os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"The system refused: {error.strerror or error}{where}."


def _version() -> str:
    from build_engine.libraries import installed_version

    return installed_version("enginebench") or "unknown"
