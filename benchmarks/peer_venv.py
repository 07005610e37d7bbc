"""The virtual environment of the peers: theirs alone, because their libraries are large and are no
part of the project.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault

if TYPE_CHECKING:
    from harness.progress import Progress

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_STAMP = "requirements.txt"  # in the environment: a copy of what was installed


def peer_python(given: Path | None, progress: Progress) -> Path:
    """The interpreter that has the peers: the given one, or that of `peers/` inside the virtual
    environment of this process, made now if need be.

    Raises EnvironmentFault when it cannot be made.
    """
    if given is not None:
        return given
    folder = Path(sys.prefix) / "peers"
    python = folder / "bin" / "python"
    stamp = folder / _STAMP
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    progress.phase(f"peers: installing their libraries in {folder} (several hundred MB)")
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    torch = next(line for line in wanted.splitlines() if line.startswith("torch=="))
    _run([*pip, torch])  # first and alone: the others must not choose its version
    _run([*pip, "--requirement", str(_REQUIREMENTS)])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EnvironmentFault(
            f"The peers' libraries could not be installed ({last}); install "
            f"{_REQUIREMENTS} in a virtual environment and give its Python with --peers-python."
        )
