"""Rounds of MLPerf Inference as data: LoadGen and its seeds, layout, gates, scenarios and fields.

A LoadGen wheel brings the seeds of one round, and the submission checker rejects any others, so the
installed wheel decides for which round a run can count. `configs/rounds/` holds what the checker
applies; a test reads the checker's own tables beside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Literal

from packaging.version import InvalidVersion
from packaging.version import Version as Parsed
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from build_engine.config import Frozen, Name, Text, config_names, load_config
from build_engine.errors import UnknownName
from build_engine.validation import Word
from harness.rules.gates import AccuracyTarget
from harness.rules.limits import ScenarioLimits
from harness.rules.scenario import Scenario

DEFAULT = "v6.1"
LIBRARY = "mlcommons-loadgen"

Version = Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
SystemType = Literal["datacenter", "edge", "datacenter,edge"]


class Seeds(Frozen):
    """LoadGen's three seeds of a round."""

    qsl: PositiveInt
    sample_index: PositiveInt
    schedule: PositiveInt

    @property
    def by_setting(self) -> dict[str, int]:
        """By their names in LoadGen's TestSettings."""
        return {
            "qsl_rng_seed": self.qsl,
            "sample_index_rng_seed": self.sample_index,
            "schedule_rng_seed": self.schedule,
        }


class LoadgenRange(Frozen):
    """The LoadGen versions, both ends inclusive, that bring a round's seeds.

    `highest` is None for the newest round. `wheel` is the version to install.
    """

    lowest: Version
    highest: Version | None = None
    wheel: Version
    seeds: Seeds

    def fits(self, version: str) -> bool:
        """Whether this version of LoadGen has the round's seeds; its suffix does not count."""
        try:
            found = _release(version)
        except InvalidVersion:
            return False
        below = self.highest is None or found <= _release(self.highest)
        return _release(self.lowest) <= found and below

    @property
    def text(self) -> str:
        """The range in words."""
        return f"{self.lowest} to {self.highest}" if self.highest else f"{self.lowest} or newer"


def _lies_below(template: str) -> str:
    if ".." in template or re.sub(r"\{(system|benchmark|scenario)\}", "", template).count("{"):
        raise ValueError("a path has no .., and {system}, {benchmark} and {scenario} at most.")
    return template


_Below = Annotated[str, Field(pattern=r"^[A-Za-z0-9{][\w./{}-]*$"), AfterValidator(_lies_below)]


class Layout(Frozen):
    """Paths below `<division>/<submitter>/`; `{system}`, `{benchmark}`, `{scenario}` are filled in.

    user.conf and README.md lie beside `measurements`.
    """

    source: _Below
    results: _Below
    measurements: _Below
    compliance: _Below


class Benchmark(Frozen):
    """One benchmark of a round.

    A closed result needs every scenario of `required` and, unless it is empty, one of `one_of`;
    `compliance` are the tests that each of its scenarios needs; an answer has at most
    `max_new_tokens`.
    """

    num_samples: PositiveInt
    accuracy: AccuracyTarget
    scenarios: dict[Scenario, ScenarioLimits]
    system_types: list[SystemType]
    required: list[Scenario]
    one_of: tuple[Scenario, ...] = ()
    compliance: tuple[Text, ...] = ()
    max_new_tokens: PositiveInt

    def missing(self, scenarios: Collection[str]) -> list[str]:
        """What a closed result with these scenarios lacks, in words."""
        lacking = [str(each) for each in self.required if each not in scenarios]
        if self.one_of and not any(each in scenarios for each in self.one_of):
            lacking.append(" or ".join(self.one_of))
        return lacking


class Round(Frozen):
    """One round."""

    name: Name
    title: Text
    loadgen: LoadgenRange
    min_duration_s: PositiveFloat
    max_accuracy_log_bytes: PositiveInt
    layout: Layout
    benchmarks: dict[Name, Benchmark]
    reserved_names: list[Name]
    """The checker's other benchmarks, and its own aliases: no workload of a user's may have one."""
    compliance_tests: dict[Word, dict[str, int]]
    statuses: list[Text]
    system_fields: dict[str, bool]
    """Fields of the system description, each with whether it must not be empty."""
    measurements_fields: list[Text]
    sources: Annotated[list[Text], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Round:
        for name, benchmark in self.benchmarks.items():
            for test in benchmark.compliance:
                if test not in self.compliance_tests:
                    raise ValueError(f"`compliance_tests` lacks {test} of {name}; add it.")
            for scenario in [*benchmark.required, *benchmark.one_of]:
                if scenario not in benchmark.scenarios:
                    raise ValueError(f"`scenarios` of {name} lacks {scenario}; add it.")
        if not self.loadgen.fits(self.loadgen.wheel):
            raise ValueError("`loadgen.wheel` is outside of the round's own range.")
        return self

    def benchmark(self, name: str) -> Benchmark:
        """A benchmark by name. Raises UnknownName."""
        if name not in self.benchmarks:
            raise UnknownName(f"benchmark of {self.name}", name, self.benchmarks)
        return self.benchmarks[name]


def round_names() -> list[str]:
    """Names of the shipped rounds, oldest first."""
    return config_names("rounds")


def load_round(name: str) -> Round:
    """A shipped round by name, or one from a .yaml file. Raises UnknownName or ConfigError."""
    return load_config("rounds", name, Round)


def loadgen_remedy(chosen: Round) -> str:
    """The command that installs the LoadGen of a round."""
    return f"pip install --force-reinstall '{LIBRARY}=={chosen.loadgen.wheel}'"


def loadgen_problem(chosen: Round, version: str | None) -> str | None:
    """Why this version of LoadGen does not serve for a round, with the one that does; None if fit.

    `version` is None when LoadGen is not installed.
    """
    remedy = loadgen_remedy(chosen)
    if version is None:
        return f"MLPerf LoadGen is not installed; round {chosen.name} needs it: {remedy}"
    if chosen.loadgen.fits(version):
        return None
    others = [name for name in round_names() if load_round(name).loadgen.fits(version)]
    whose = others[0] if others else "no round known here"
    return (
        f"LoadGen {version} does not fit round {chosen.name}, which needs {chosen.loadgen.text}: "
        f"its seeds are those of {whose}, and the submission checker rejects them; install the "
        f"right one ({remedy}), or choose another --round."
    )


def _release(version: str) -> Parsed:
    """The number of a version without what follows it. Raises InvalidVersion."""
    return Parsed(Parsed(version).base_version)
