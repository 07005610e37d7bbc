"""`enginebench --install-completion`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from harness.cli.output import Output
from harness.cli.program import NAME

Shell = Literal["bash", "zsh", "fish"]
_SHELLS: tuple[Shell, ...] = get_args(Shell)


def install(*, shell: Shell | None = None, output: Path | None = None, json: bool = False) -> None:
    """Teach bash, zsh or fish to complete commands and options by Tab.

    Parameters
    ----------
    shell
        The one that this command is called from when left out.
    output
        Write the script here, and leave the shell's own files alone.
    json
        Write where the script is to standard output as JSON.
    """
    from cyclopts.completion import ShellDetectionError, detect_shell

    from build_engine.errors import UsageError
    from build_engine.files import cannot_write
    from harness.cli.main import make_app

    out = Output(as_json=json)
    if shell is None:
        try:
            found = detect_shell()
        except ShellDetectionError:
            found = None
        shell = next((known for known in _SHELLS if known == found), None)
    if shell is None:
        raise UsageError("Which shell? Give --shell bash, --shell zsh or --shell fish.")
    try:
        path = make_app().install_completion(
            shell=shell, output=output, add_to_startup=output is None
        )
    except OSError as error:
        raise cannot_write(output or Path.home(), error) from None
    out.say(f"The completion of {NAME} for {shell} is in {path}")
    out.say("It knows the commands of this version; install it again after an upgrade.")
    if shell == "zsh" and output is None and not _starts_completion(Path.home() / ".zshrc"):
        out.say("~/.zshrc does not start zsh's completion; add: autoload -Uz compinit && compinit")
    out.result({"shell": shell, "script": str(path)})
    out.advice(f"exec {shell}" if output is None else f"have {shell} read that file at its start")


def _starts_completion(zshrc: Path) -> bool:
    if not zshrc.is_file():
        return False
    text = zshrc.read_text(encoding="utf-8", errors="replace")
    return any(word in text for word in ("compinit", "oh-my-zsh"))
