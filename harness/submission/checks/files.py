"""What surrounds the logs: source, documentation, systems, measurements, README files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from build_engine.files import Unreadable, below, parse_json, read_bytes
from harness.rules.rounds import Round
from harness.submission.system import field_problems
from harness.submission.tree import Result, Submitter

_MAX_FILE_BYTES = 50 * 2**20  # FILE_SIZE_LIMIT_MB of the checker's constants.py


def submitter_problems(by: Submitter, chosen: Round) -> Iterator[str]:
    """Source, documentation, stray files, and systems without results."""
    try:
        found = sorted(below(by.folder))
    except Unreadable as problem:
        yield f"the folder {problem}; take out what does not belong there."
        return
    needed = by.layout.source
    if not by.source.is_dir():
        other = next((n for n in ("src", "code") if (by.folder / n).is_dir()), None)
        instead = f" (there is {other}/; rename it)" if other else "; add the code that ran"
        yield f"the folder {needed}/ is missing{instead}."
    elif not any(path.is_file() for path in found if path.is_relative_to(by.source)):
        yield f"the folder {needed}/ is empty; add the code that ran."
    documents = list(by.documentation.glob("calibration*")) if by.documentation.is_dir() else []
    if by.division == "closed" and not documents:
        yield "documentation/ has no calibration description, which the rules ask for."
    yield from _stray(by, found)
    with_results = {result.system for result in by.results()}
    if not with_results:
        yield "results/ holds no <system>/<benchmark>/<scenario>."
    for path in sorted(by.systems.glob("*.json")):
        if path.stem not in with_results:
            yield f"systems/{path.name} has no results."


def _stray(by: Submitter, found: Iterable[Path]) -> Iterator[str]:
    for path in found:
        name = path.relative_to(by.folder).as_posix()
        if path.is_symlink():
            yield f"{name} is a link; put the file itself there."
        elif not path.is_file():
            yield f"{name} is not a regular file; remove it."
        elif path.name == "audit.config":
            yield f"{name} does not belong in a submission; remove it."
        elif path.stat().st_size > _MAX_FILE_BYTES:
            yield f"{name} is larger than 50 MB; remove it."


def system_problems(result: Result, chosen: Round) -> Iterator[str]:
    """The description of one system."""
    fields = _read(result.system_file)
    if isinstance(fields, str):
        yield f"{result.relative(result.system_file)} {fields}."
        return
    name = f"systems/{result.system}.json"
    for problem in field_problems(fields, chosen):
        yield f"{name}: {problem}"
    for key, value in (("submitter", result.by.name), ("division", result.by.division)):
        if str(fields.get(key, "")).lower() != value.lower():
            yield f"{name}: {key} is {fields.get(key)}, and its folder is {value}."
    if fields.get("is_network") not in (None, ""):
        yield (
            f"{name}: is_network is {fields['is_network']}; take it out: the official checker asks "
            f"any system that has it, true or false, for the fields of the network division."
        )


def system_type(result: Result) -> str | None:
    """`system_type` of the result's system, None when there is none."""
    fields = _read(result.system_file)
    return None if isinstance(fields, str) else str(fields.get("system_type"))


def measurement_problems(result: Result, chosen: Round) -> Iterator[str]:
    """measurements.json, user.conf and README.md of one scenario."""
    fields = _read(result.measurements)
    name = result.measurements.name
    if isinstance(fields, str):
        yield f"{name} {fields}."
    else:
        for key in chosen.measurements_fields:
            if not fields.get(key):
                yield f"{name}: field {key} is {'empty' if key in fields else 'missing'}."
    for path in (result.user_conf, result.readme):
        if not path.is_file():
            yield f"{path.name} is missing."
        elif not path.stat().st_size:
            yield f"{path.name} is empty."


def _read(path: Path) -> dict[str, object] | str:
    """The fields of a JSON object, or what is wrong with the file."""
    try:
        content = parse_json(read_bytes(path))
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    return content if isinstance(content, dict) else "is not a JSON object"
