"""Pack finished runs into a submission tree, whole or not at all.

The tree is made beside its place, checked by our own rules, and renamed. What a submission wants
truncated is kept whole in a folder beside it.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import build_engine
from build_engine.errors import NotPacked, RunExists, UnknownName, UsageError
from build_engine.files import cannot_write, write_json
from build_engine.temporary import mark, sweep
from harness.rules.rounds import DEFAULT, Round, load_round
from harness.runs.place import require_own_place
from harness.submission import declared
from harness.submission.check import check_tree
from harness.submission.measurements import calibration_description, measurements
from harness.submission.readme import result_readme, source_readme
from harness.submission.runs import PackableRun, accept
from harness.submission.system import describe
from harness.submission.tree import DIVISIONS, ORIGINALS, Result, Submitter, moved
from harness.submission.truncate import truncate

_PACKAGES = ("enginebench", "build_engine", "runtime", "harness", "configs", "newsbrief")
_NOT_SOURCE = ("__pycache__", "*.pyc", "*.safetensors")
_NETWORK = "network"
_SCRATCH = ".enginebench-pack"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRequest:
    """What to pack, and as what. The fields are options of the command line: their docstrings are
    what `--help` says.
    """

    runs: Sequence[Path] = field(kw_only=False)
    """Run folders, one for each scenario, each with a performance and an accuracy test."""
    submitter: str
    """Your organisation, as its folder is called."""
    system: Path
    """A file that describes the system: what `enginebench doctor --system-json` wrote, with the
    fields for a person filled in, or a .yaml of those fields alone.
    """
    division: str
    """closed or open."""
    round: str = DEFAULT
    """The MLPerf round that the runs are of, and whose rules apply."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A tree that was written, and where the whole accuracy logs are."""

    root: Path
    originals: Path
    results: tuple[Result, ...]


def pack(request: PackRequest, output: Path) -> Packed:
    """Write the tree to `output`, which must be new.

    Raises UsageError for a wrong name, file or run folder, RunExists for an output that is there,
    NotPacked with every reason why the runs cannot be packed, OutputError.
    """
    chosen, root = load_round(request.round), output.absolute()
    _check_request(request, root)
    runs = accept(request.runs, request.division, chosen)
    system = describe(request.system, runs[0].record, chosen, request.submitter, request.division)
    originals = root.with_name(root.name + ORIGINALS)
    try:
        with _scratch(root.parent) as scratch:
            by = Submitter(
                root=scratch / "tree",
                layout=chosen.layout,
                division=request.division,
                name=request.submitter,
            )
            results = [_write_result(by, run, system["system_name"], chosen) for run in runs]
            _write_common(by, runs, system)
            found = check_tree(by.root, chosen)
            if found:
                raise NotPacked(f"{f.where}: {f.sentence}" for f in found)
            # first what is to be kept: a tree stands only once its whole logs do
            by.root.with_name(by.root.name + ORIGINALS).rename(originals)
            by.root.rename(root)
    except OSError as error:
        raise cannot_write(root, error) from None
    here = moved(by, root)
    placed = (Result(here, r.system, r.benchmark, r.scenario) for r in results)
    return Packed(root, originals, tuple(placed))


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder in `folder` for as long as it is needed; those of processes that were killed are
    removed. Raises OSError.
    """
    sweep(folder, _SCRATCH)
    scratch = folder / f"{_SCRATCH}{mark()}{secrets.token_hex(4)}"
    try:
        scratch.mkdir()
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def system_id(name: str) -> str:
    """The folder name of a system."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("_")


def _check_request(request: PackRequest, root: Path) -> None:
    if request.division == _NETWORK:
        raise UsageError("The network division is not supported; use --division closed or open.")
    if request.division not in DIVISIONS:
        raise UnknownName("division", request.division, ("closed", "open"))
    if not request.runs:
        raise UsageError("No run was given; name one run folder or more.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", request.submitter):
        raise UsageError(
            f"--submitter `{request.submitter}` becomes a folder; use letters, digits, . _ and -."
        )
    require_own_place(root)
    for place in (root, root.with_name(root.name + ORIGINALS)):
        if place.exists():
            raise RunExists(f"{place} exists already; choose another --output, or remove it.")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from None


def _write_result(by: Submitter, run: PackableRun, system: str, chosen: Round) -> Result:
    """One scenario: logs, accuracy, compliance, and what describes them."""
    result = Result(by, system_id(system), run.benchmark, run.scenario)
    folder = run.run.folder
    performance, accuracy = folder.test("performance"), folder.test("accuracy")
    _copy(result.performance, performance.detail, performance.summary)
    _copy(
        result.accuracy,
        accuracy.detail,
        accuracy.summary,
        accuracy.answers,
        accuracy.accuracy_txt,
    )
    log = result.accuracy / accuracy.answers.name
    originals = by.root.with_name(by.root.name + ORIGINALS)
    truncate(
        log, result.accuracy / accuracy.accuracy_txt.name, originals / log.relative_to(by.root)
    )
    for test in chosen.benchmark(run.official).compliance:
        if test in run.record.audits:
            audit, target = folder.audit(test), result.compliance(test)
            _copy(target, audit.verification)
            _copy(target / audit.accuracy.path.name, audit.accuracy.answers)
    result.measurements.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(performance.user_conf, result.user_conf)
    result.readme.write_text(result_readme(run, chosen), encoding="utf-8")
    fields = (
        measurements(run.engine, run.reference)
        if run.served is None
        else declared.measurements(run.served)
    )
    write_json(result.measurements, fields)
    return result


def _write_common(by: Submitter, runs: Sequence[PackableRun], system: dict[str, str]) -> None:
    """What the results of a submitter share."""
    by.systems.mkdir(parents=True)
    write_json(by.systems / f"{system_id(system['system_name'])}.json", system)
    by.documentation.mkdir()
    first = runs[0]
    document = (
        calibration_description(first.engine, first.reference)
        if first.served is None
        else declared.calibration_description(first.served)
    )
    (by.documentation / "calibration.md").write_text(document, encoding="utf-8")
    _write_source(by.source)
    own = {run.benchmark: run.official for run in runs if run.benchmark != run.official}
    if own:
        write_json(by.model_mapping, own)


def _write_source(folder: Path) -> None:
    """The packages that ran, without weights."""
    top = Path(build_engine.__file__).parent.parent
    target = folder / "enginebench"
    target.mkdir(parents=True)
    (folder / "README.md").write_text(source_readme(), encoding="utf-8")
    for package in _PACKAGES:
        ignored = shutil.ignore_patterns(*_NOT_SOURCE)
        shutil.copytree(top / package, target / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (top / name).is_file():
            shutil.copyfile(top / name, target / name)


def _copy(target: Path, *files: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, target / file.name)
