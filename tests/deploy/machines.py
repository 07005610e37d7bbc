"""Machines that are not there: stand-ins for ssh, srun, scontrol and docker, which run here what
they are given, and for the node that the scripts start on each, which notes what it was given.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Each is given the name of its machine, and notes how it was called.
_NODE = """
echo "$MACHINE: $*" >> "$NOTES/calls"
shift 2
case $1 in
    versions)
        [ -e "$NOTES/slow" ] && [ "$MACHINE" = two ] && exec sleep 20
        cat "$NOTES/versions-$MACHINE" 2> /dev/null || echo "enginebench 1, Ray 2" ;;
    address) echo 10.0.0.1 ;;
    *)
        IFS= read -r token; IFS= read -r other
        echo "$1 $token $other" >> "$NOTES/given"
        echo $$ >> "$NOTES/pids"
        if [ "$1" = head ]; then
            [ -e "$NOTES/head-code" ] && exit "$(cat "$NOTES/head-code")"
            if IFS= read -r said; then echo "head heard $said" >> "$NOTES/calls"; exit 3; fi
        elif [ ! -e "$NOTES/no-worker" ]; then
            while read -r _; do :; done
        fi
        echo "$1 ended" >> "$NOTES/calls" ;;
esac
"""
_SSH = """
while [ "$1" = -o ]; do shift 2; done
machine=$1; shift
echo "ssh $machine: $*" >> "$NOTES/calls"
[ "$machine" = far ] && { echo "ssh: connect to host far: No route to host" >&2; exit 255; }
MACHINE=$machine SSH_CONNECTION="${FROM:-10.0.0.9} 1 10.0.0.2 22" exec sh -c "$*"
"""
_SRUN = """
while :; do case $1 in --nodelist=*) machine=${1#*=} ;; --*) ;; *) break ;; esac; shift; done
MACHINE=$machine exec "$@"
"""
_SCONTROL = """
[ "$*" = "show hostnames one,two" ] && { echo one; echo two; } || echo alone
"""
_DOCKER = """
echo "docker: $*" >> "$NOTES/calls"
while [ "$1" != enginebench:gpu ]; do shift; done
shift
exec "$ENGINEBENCH_STAND_IN" "$@"
"""


@dataclass(frozen=True)
class Machines:
    """A folder with the programs, and what they note."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Machines:
        """Them, in a new folder."""
        programs = {
            "ssh": _SSH,
            "srun": _SRUN,
            "scontrol": _SCONTROL,
            "docker": _DOCKER,
            "node": _NODE,
        }
        made = cls(folder)
        made.programs.mkdir(parents=True)
        for name, text in programs.items():
            path = made.programs / name
            path.write_text(f"#!/bin/sh{text}")
            path.chmod(0o755)
        return made

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    def note(self, name: str, text: str) -> None:
        """What the programs shall find."""
        (self.folder / name).write_text(text)

    def lines(self, name: str) -> list[str]:
        """What they noted."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def environment(self, **more: str) -> Mapping[str, str]:
        inherited = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        return {
            **inherited,
            "PATH": f"{self.programs}:{os.defpath}",
            "NOTES": str(self.folder),
            "MACHINE": os.uname().nodename,
            "TMPDIR": str(self.folder),
            "ENGINEBENCH_PYTHON": str(self.programs / "node"),
            "ENGINEBENCH_STAND_IN": str(self.programs / "node"),
            "END_S": "10",
            **more,
        }

    def start(self, script: str, /, *words: str, **more: str) -> subprocess.Popen[str]:
        """A script of deploy/."""
        environment = {name: text for name, text in self.environment(**more).items() if text}
        return subprocess.Popen(
            [str(ROOT / "deploy" / script), *words],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, /, *words: str, **more: str) -> tuple[int, str]:
        """Its exit code, and what it told."""
        with self.start(script, *words, **more) as process:
            _, told = process.communicate(timeout=30.0)
        return process.returncode, told

    def left(self, timeout_s: float = 5.0) -> list[int]:
        """The nodes that are still there after a moment."""
        until_s = time.monotonic() + timeout_s
        while True:
            pids = [int(line) for line in self.lines("pids")]
            left = [pid for pid in pids if Path(f"/proc/{pid}").exists() and not _is_zombie(pid)]
            if not left or time.monotonic() > until_s:
                return left
            time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
