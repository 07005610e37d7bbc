"""Where everything lies in a submission tree of a round, for who writes one and who reads one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

from harness.rules.rounds import Layout, Round

DIVISIONS = ("closed", "open", "network")
MAX_TEXT_BYTES = 2**20  # of accuracy.txt and the like, which have a few lines
ORIGINALS = "-originals"  # of the folder beside a submission that holds what was truncated in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """One submitter in one division of a tree."""

    root: Path
    layout: Layout
    division: str
    name: str

    @property
    def folder(self) -> Path:
        """`<root>/<division>/<submitter>`."""
        return self.root / self.division / self.name

    @property
    def source(self) -> Path:
        """The code that ran."""
        return self.folder / self.layout.source

    @property
    def documentation(self) -> Path:
        """The calibration description is in here."""
        return self.folder / "documentation"

    @property
    def systems(self) -> Path:
        """One JSON file for each system."""
        return self.folder / "systems"

    @property
    def model_mapping(self) -> Path:
        """Own model names to official ones; open division only."""
        return self.folder / "model_mapping.json"

    def results(self) -> list[Result]:
        """Every `results/<system>/<benchmark>/<scenario>` folder, sorted."""
        top = self.folder / "results"
        found = [path for path in top.glob("*/*/*") if path.is_dir()]
        return [
            Result(self, path.parts[-3], path.parts[-2], path.parts[-1]) for path in sorted(found)
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario of one benchmark on one system."""

    by: Submitter
    system: str
    benchmark: str
    scenario: str

    @property
    def folder(self) -> Path:
        """Logs lie below it."""
        return self._at(self.by.layout.results)

    @property
    def system_file(self) -> Path:
        """The system's description."""
        return self.by.systems / f"{self.system}.json"

    @property
    def measurements(self) -> Path:
        """The measurements JSON; where it is named by the system, the checker lets its name go
        on.
        """
        path = self._at(self.by.layout.measurements)
        if path.stem == self.system and not path.is_file():
            return next(iter(sorted(path.parent.glob(f"{escape(self.system)}*.json"))), path)
        return path

    @property
    def user_conf(self) -> Path:
        """LoadGen's user.conf of the performance test."""
        return self.measurements.parent / "user.conf"

    @property
    def readme(self) -> Path:
        """How to repeat the result."""
        return self.measurements.parent / "README.md"

    @property
    def performance(self) -> Path:
        """Logs of the performance test."""
        return self.folder / "performance" / "run_1"

    @property
    def accuracy(self) -> Path:
        """Logs of the accuracy test, and accuracy.txt."""
        return self.folder / "accuracy"

    def compliance(self, test: str) -> Path:
        """Outputs of a compliance test."""
        return self._at(self.by.layout.compliance) / test

    def relative(self, path: Path) -> str:
        """A path below the tree, as a message gives it."""
        return path.relative_to(self.by.root).as_posix()

    def _at(self, template: str) -> Path:
        names = {"system": self.system, "benchmark": self.benchmark, "scenario": self.scenario}
        return self.by.folder / template.format(**names)


def submitters(root: Path, chosen: Round) -> Iterator[Submitter]:
    """Everyone in a tree."""
    for division in DIVISIONS:
        for path in sorted((root / division).glob("*")):
            if path.is_dir():
                yield Submitter(root=root, layout=chosen.layout, division=division, name=path.name)


def original(path: Path, root: Path) -> Path:
    """Where the whole of a file that is truncated in the tree `root` is kept, beside the tree."""
    return root.with_name(root.name + ORIGINALS) / path.relative_to(root)


def moved(by: Submitter, root: Path) -> Submitter:
    """The same submitter in a tree elsewhere."""
    return replace(by, root=root)
