"""The facts of `trtllm-build` against the library that is really installed.

Everything here that touches TensorRT-LLM was written from its source, without the library. This is
the first thing to run where it is: each difference is a sentence that names the fact.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engine.errors import EnvironmentFault
from build_engine.files import read_json
from build_engine.libraries import installed_version
from build_engine.trtllm import contract_probe
from build_engine.trtllm.facts import BuildToolFacts, ConfigField, Flag, build_tool_facts
from build_engine.trtllm.pin import PIN
from build_engine.trtllm.plan import PROGRAM
from build_engine.trtllm.tool import child_environment

_TIMEOUT_S = 600.0  # the library is imported, which takes a minute on a cold disk
_OPTION = re.compile(r"^ {1,6}(--\w+.*?)(?: {2,}.*)?$")
_CHOICES = re.compile(r"\{([^}]*)\}")
# so argparse's ArgumentDefaultsHelpFormatter ends a text; tensorrt_llm/commands/build.py has it
_DEFAULT = re.compile(r"\(default: (.*)\)$")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many facts were compared, and a sentence for each that differs."""

    num_facts: int
    differences: tuple[str, ...]


def compare_build_facts() -> Comparison:
    """Ask the installed library. Raises EnvironmentFault where it is not, or does not answer."""
    if installed_version("tensorrt-llm") is None or shutil.which(PROGRAM) is None:
        raise EnvironmentFault(
            f"TensorRT-LLM is not installed here, so there is nothing to compare; run this in the "
            f"container {PIN.container}."
        )
    facts = build_tool_facts()
    told = (
        *_flags(facts, _help()),
        *_configurations(facts, _probe()),
    )
    fields = (*facts.build_config, *facts.plugin_config, *facts.quant_config)
    return Comparison(len(facts.flags) + len(fields) + len(facts.quant_algos), told)


@dataclass(slots=True)
class _Told:
    """What `--help` says of a flag: itself with its values, and the text below it in one line."""

    usage: str
    text: str

    @property
    def default(self) -> str | None:
        """None where it is not told."""
        found = _DEFAULT.search(self.text)
        return found[1] if found else None


def _help() -> dict[str, _Told]:
    """Each flag of `trtllm-build --help`, by each of its names."""
    found: dict[str, _Told] = {}
    told: _Told | None = None
    for line in said_by([PROGRAM, "--help"]).splitlines():
        option = _OPTION.match(line)
        if option is not None:
            told = _Told(option[1], line[option.end(1) :].strip())
            found |= dict.fromkeys(re.findall(r"--\w+", option[1]), told)
        elif told is not None and line.startswith("  "):
            told.text = f"{told.text} {line.strip()}".strip()
        else:
            told = None  # a heading
    return found


def _probe() -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory(prefix="enginebench-") as folder:
        answer = Path(folder, "said.json")
        source = Path(contract_probe.__file__).read_text(encoding="utf-8")
        said_by([sys.executable, "-c", source, str(answer)], folder)
        try:
            said: dict[str, Any] = read_json(answer, EnvironmentFault, "look at what it printed")
        except FileNotFoundError:
            raise EnvironmentFault("TensorRT-LLM was imported and said nothing.") from None
    return said


def said_by(command: Sequence[str], folder: str | None = None) -> str:
    """What a program that imports the library writes to standard output, started in `folder`.
    Raises EnvironmentFault, with its last words, when it fails.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            env=child_environment(),
            cwd=folder,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(
            f"`{command[0]}` has not answered within {_TIMEOUT_S:g} s; start it by hand."
        ) from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise EnvironmentFault(
            f"`{command[0]} {command[1]}` ended with exit code {done.returncode} and said: {words}"
        )
    return done.stdout


def _flags(facts: BuildToolFacts, said: Mapping[str, _Told]) -> list[str]:
    known = {name: flag for flag in facts.flags for name in (flag.name, *flag.aliases)}
    found = [
        f"{PROGRAM} has no {name} (known from {facts.sources[known[name].source]})"
        for name in sorted(known.keys() - said.keys())
    ]
    found += [f"{PROGRAM} has {name}, which is not known" for name in sorted(_new(said, known))]
    if all(told.default is None for told in said.values()):
        found.append(f"`{PROGRAM} --help` tells no default, so none was compared")
    for flag in facts.flags:
        if flag.name not in said:
            continue
        default = said[flag.name].default
        if default is not None and default != str(flag.default):
            found.append(f"{flag.name} is {default} when left out, and not {flag.default}")
        beside = _CHOICES.search(said[flag.name].usage)
        choices = set(beside[1].split(",")) if beside else set()
        if choices and flag.choices is not None and choices != set(flag.choices):
            found.append(
                f"{flag.name} takes {', '.join(sorted(choices))}, and not "
                f"{', '.join(sorted(flag.choices))}"
            )
    return found


def _new(said: Mapping[str, _Told], known: Mapping[str, Flag]) -> set[str]:
    return said.keys() - known.keys() - {"--help"}


def _configurations(facts: BuildToolFacts, said: Mapping[str, Any]) -> list[str]:
    kinds: dict[str, Sequence[ConfigField]] = {
        "build_config": facts.build_config,
        "plugin_config": facts.plugin_config,
        "quant_config": facts.quant_config,
    }
    found = []
    for name, fields in kinds.items():
        kind = contract_probe.CLASSES[name][1]
        known = {field.name: field for field in fields}
        there = said[name]
        found += [f"{kind} has no {field}" for field in sorted(known.keys() - there.keys())]
        found += [
            f"{kind} has {field}, which is not known" for field in sorted(there.keys() - known)
        ]
        for field in sorted(known.keys() & there.keys()):
            if _differs(known[field].default, there[field]):
                found.append(
                    f"{kind}.{field} is {there[field]} when left out, and not "
                    f"{known[field].default}"
                )
    algos = said["quant_algos"]
    found += [f"QuantAlgo has no {name}" for name in facts.quant_algos if name not in algos]
    found += [f"QuantAlgo has {n}, which is not known" for n in algos if n not in facts.quant_algos]
    return found


def _differs(fact: object, value: object) -> bool:
    """A default that is an object, or that the facts describe in words, cannot be compared."""
    in_words = isinstance(fact, str) and ("(" in fact or " " in fact)
    is_object = isinstance(value, str) and value.startswith("<")
    return not in_words and not is_object and fact != value
