"""How this program was started, and so how a command of it is written for the next time.

Sentences from further down name commands as a manual does (`enginebench doctor`, pip install x);
`here` writes them so that they work when they are pasted.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.streams import shell_word

NAME = "enginebench"


def program() -> list[str]:
    """The words that start the program again: its name where a shell finds it by that, else the
    path or the `python -m` that it was started by.
    """
    started = sys.argv[0]
    path = Path(started)
    if path.name == "__main__.py" and path.parent.name == NAME:
        return sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    if path.name != NAME:
        return [NAME]  # called from Python
    found = shutil.which(NAME)
    by_name = found is not None and os.path.realpath(found) == os.path.realpath(started)
    return [NAME if by_name else started]


def command_line(words: Iterable[object]) -> str:
    """A command of this program, to be pasted into a shell as it is."""
    return " ".join(shell_word(word) for word in (*program(), *map(str, words)))


def here(text: str) -> str:
    """`text` with the commands in it as they work in the shell that started us: by the path of the
    program, and by the interpreter whose libraries we use.
    """
    if "pip install " in text:
        text = re.sub(r"\bpip install ", lambda _: f"{_python()} -m pip install ", text)
        text = re.sub(rf"'{NAME}\[(\w+)\]'", lambda found: _requirement(found.group(1)), text)
    return re.sub(rf"`{NAME} (?=[a-z-])", lambda _: f"`{command_line(())} ", text)


def _python() -> str:
    return shlex.quote(sys.executable)


def _requirement(extra: str) -> str:
    """What pip installs this package with `extra` by: from where it came, which may be a clone.

    Source: PEP 610, direct_url.json.
    """
    from build_engine.files import parse_json

    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
        origin = parse_json(text) if text else {}
    except (metadata.PackageNotFoundError, ValueError):
        origin = {}
    url = origin.get("url", "")
    if "dir_info" in origin:
        folder = shlex.quote(f"{unquote(urlsplit(url).path)}[{extra}]")
        return f"--editable {folder}" if origin["dir_info"].get("editable") else folder
    vcs = origin.get("vcs_info", {}).get("vcs")
    source = f" @ {f'{vcs}+' if vcs else ''}{url}" if url else ""
    return shlex.quote(f"{NAME}[{extra}]{source}")
