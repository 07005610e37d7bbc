"""What a dataset may be called: the benchmark's own set, or something less, and then what it lacks.

Synthetic articles cycled to 13,368 are not the benchmark's set; neither is the right file with one
record missing. MLCommons publishes no checksum, so source, split, count, distinctness and token ids
have to agree instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import DatasetError
from build_engine.validation import counted

if TYPE_CHECKING:
    from harness.dataset.record import Origin
    from harness.dataset.sources.sample import Purpose
    from harness.dataset.sources.source import Source
    from harness.rules.workload import OfficialData, Workload

# CNN/DailyMail repeats hardly an article; a set that is cycled repeats most of them.
_MIN_DISTINCT_SHARE = 0.99


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What was counted in a prepared set. `trial` is whether only the first samples were asked for;
    `longest` is the longest prompt; `different_ids` are prompts that are not the file's own
    `tok_input`; `wrong_bos` are prompts that do not begin with exactly one BOS; `vocab_size` is the
    tokenizer's.
    """

    num_samples: int
    trial: bool
    num_distinct: int
    longest: int
    different_ids: int
    wrong_bos: int
    vocab_size: int


def expected_samples(workload: Workload, purpose: Purpose) -> int:
    """Samples of the whole set."""
    if purpose == "calibration" and workload.data is not None:
        return workload.data.calibration_samples
    return workload.num_samples


def check_whole(workload: Workload, source: Source, num_samples: int, purpose: Purpose) -> None:
    """Raise DatasetError when the workload's whole set was asked for, and this is another one."""
    data = workload.data
    if data is None or source.kind not in ("official", "rebuilt"):
        return
    expected = expected_samples(workload, purpose)
    found = num_samples
    if source.origin is not None:
        found = source.origin.split_samples
        expected = data.split_samples[data.split]
    if found != expected:
        raise DatasetError(
            f"{source.name} has {found:,} records and the {purpose} set of {workload.name} has "
            f"{expected:,}{_looks_like(found, workload, data, purpose)}; get the whole set, or "
            "give --count for a trial."
        )


def shortfalls(workload: Workload, source: Source, facts: SetFacts, purpose: Purpose) -> list[str]:
    """Why this is not the benchmark's own set; none when it is."""
    data = workload.data
    if workload.benchmark is None or data is None:
        return [f"workload {workload.name} is not an MLPerf benchmark"]
    found = []
    if purpose == "calibration" and source.kind != "official":
        found.append(f"its articles are not from {data.calibration_file}")
    elif source.kind not in ("official", "rebuilt"):
        found.append(f"its articles are not from {data.file} or {data.hub}")
    expected = expected_samples(workload, purpose)
    if facts.num_samples != expected:
        found.append(f"it has {facts.num_samples:,} of {expected:,} samples")
    elif facts.trial:
        found.append(f"it is the first {counted(facts.num_samples, 'sample')}, by --count")
    if source.origin is not None:
        found += _origin_shortfalls(source.origin, data)
    if facts.num_distinct < facts.num_samples * _MIN_DISTINCT_SHARE:
        found.append(f"only {facts.num_distinct:,} of its articles are distinct")
    if facts.different_ids:
        found.append(f"{facts.different_ids:,} prompts differ from the file's own `tok_input`")
    if facts.vocab_size != data.vocab_size:
        found.append(
            f"its tokenizer has {facts.vocab_size:,} ids, and that of the benchmark's model "
            f"{data.vocab_size:,}"
        )
    if facts.wrong_bos:
        found.append(f"{facts.wrong_bos:,} prompts do not begin with exactly one BOS token")
    return found


def notes(workload: Workload, source: Source, facts: SetFacts, purpose: Purpose) -> list[str]:
    """What a person should look at in a set that carries the name."""
    if workload.data is None or purpose == "calibration":
        return []
    if workload.data.shuffle_seed is not None:
        # how long the longest prompt of a part is, is written nowhere
        if source.kind != "rebuilt":
            return []
        return [
            f"drawn as the reference's download script does now; nobody has shown that this is "
            f"{workload.data.file}: for a submission take that file (name `{workload.data.uri}` of "
            "MLCommons' downloader)"
        ]
    if facts.longest == workload.max_input_tokens:
        return []
    return [
        f"the longest prompt has {facts.longest:,} tokens, and that of the official set "
        f"{workload.max_input_tokens:,}: make sure that this is the official data"
    ]


def _origin_shortfalls(origin: Origin, data: OfficialData) -> Iterator[str]:
    if origin.config != data.config:
        yield f"its configuration is {origin.config}, not {data.config}"
    rows = data.split_samples[data.split]
    if origin.split_samples != rows:
        yield f"its split has {origin.split_samples:,} rows, not {rows:,}"


def _looks_like(found: int, workload: Workload, data: OfficialData, purpose: Purpose) -> str:
    """What a set of `found` records probably is."""
    if found == data.calibration_samples and purpose == "evaluation":
        return (
            f", while {data.calibration_file} has that many: give that one to `enginebench build "
            "--calibration`, or check it here with --calibration"
        )
    for other in _benchmarks():
        if other.num_samples == found and other.name != workload.name:
            return f", while that of {other.name} has that many (--workload {other.name})"
    for split, size in data.split_samples.items():
        if size == found and split != data.split:
            return f", while the {split} split of {data.short_name} has that many"
    if purpose == "calibration" and found == workload.num_samples:
        return ", while its evaluation set has that many (leave out --calibration)"
    return ""


def _benchmarks() -> list[Workload]:
    from harness.rules.workload import load_workload, workload_names

    workloads = [load_workload(name) for name in workload_names()]
    return [workload for workload in workloads if workload.data is not None]
