"""LoadGen's own logs, read back; nobody else parses them.

What a run measured is what its detail log says, never the summary, which is for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import RunFailed
from build_engine.files import Unreadable, parse_json, read_bytes
from harness.loadgen.detail import DetailLog
from harness.loadgen.folder import TestFolder

if TYPE_CHECKING:
    from runtime.executor import TokenIds

# What the submission tool leaves in place of the middle of an accuracy log.
CUT = b"\n\n...\n\n"

_MARK = ":::MLLOG "
_NUMBERS = re.compile(r"_(ns|ms|count|latency|second|sec|per_query|seed|overhead)$")  # keys
# A log of messages has a line for each thing that LoadGen found wrong; the ids of 13,368 answers of
# 128 tokens take 14 MB.
_MAX_MESSAGES_BYTES = 2**24
_MAX_ANSWERS_BYTES = 2**28


def read_detail(folder: Path) -> DetailLog:
    """The detail log of a finished test in `folder`. Raises RunFailed when LoadGen did not finish
    it.
    """
    path = TestFolder(folder).detail
    values: dict[str, Any] = {}
    errors: list[str] = []
    warnings: list[str] = []
    for line in _lines(path):
        if not line.startswith(_MARK):
            continue
        try:
            entry = parse_json(line[len(_MARK) :])
            key, value, about = str(entry["key"]), entry["value"], dict(entry["metadata"])
            if _NUMBERS.search(key) and not isinstance(value, int | float):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise RunFailed(f"{path} has a broken line; the run is incomplete") from None
        values.setdefault(key, value)
        if about.get("is_error"):
            errors.append(str(value))
        elif about.get("is_warning"):
            warnings.append(str(value))
    if "effective_scenario" not in values:
        raise RunFailed(f"{path} has no settings in it; LoadGen ended before the test began")
    return DetailLog(values, tuple(errors), tuple(warnings))


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """One entry of the accuracy log: sample index, ids as int32, those of the first token, count.

    `first_ids` is None where LoadGen keeps none (Offline).
    """

    index: int
    ids: TokenIds
    first_ids: TokenIds | None
    token_count: int


def read_answers(folder: Path) -> list[LoggedAnswer]:
    """Every entry of the accuracy log in `folder`, in its order, duplicates included.

    Raises RunFailed when the log is missing, cut short, or not what LoadGen writes.
    """
    path = TestFolder(folder).answers
    content = read_log(path)
    if is_cut(content):
        raise RunFailed(
            f"{path} was truncated for submission; take the original log that the run wrote"
        )
    try:
        entries = parse_json(content)
    except Unreadable as problem:
        raise RunFailed(
            f"{path} breaks off or is damaged: it {problem}; the run did not end properly, repeat "
            f"it"
        ) from None
    if not isinstance(entries, list):
        raise RunFailed(f"{path} is no list of answers; repeat the run")
    answers = []
    for position, entry in enumerate(entries):
        try:
            answers.append(_answer(entry))
        except (KeyError, TypeError, ValueError) as error:
            raise RunFailed(
                f"{path}: entry {position} is not an answer of int32 token ids ({error}); repeat "
                f"the run"
            ) from None
    return answers


def first_answers(answers: Iterable[LoggedAnswer]) -> dict[int, TokenIds]:
    """Ids by sample index. Of several answers to a sample the first counts, as in the reference's
    `evaluation.py`.
    """
    found: dict[int, TokenIds] = {}
    for answer in answers:
        found.setdefault(answer.index, answer.ids)
    return found


def is_cut(log: bytes) -> bool:
    """Whether an accuracy log has been truncated for submission."""
    return CUT in log


def _answer(entry: Any) -> LoggedAnswer:
    """One entry; ValueError, TypeError or KeyError if broken."""
    index, count, first = entry["qsl_idx"], entry["token_count"], entry.get("token_data")
    if not isinstance(index, int) or index < 0:
        raise ValueError(f"its qsl_idx is {index!r}")
    if not isinstance(count, int):
        raise ValueError(f"its token_count is {count!r}")
    ids = _ids(entry["data"])
    if ids.size and ids.size == 2 * count and not ids[1::2].any():
        raise ValueError("its ids are int64")
    return LoggedAnswer(index, ids, None if first is None else _ids(first), count)


def _ids(text: str) -> TokenIds:
    import numpy as np

    ids = np.frombuffer(bytes.fromhex(text), np.int32)
    if ids.size and ids.min() < 0:
        raise ValueError(f"it has the negative token id {ids.min()}")
    return ids


def _lines(path: Path) -> list[str]:
    """The lines of a log of messages. Raises RunFailed."""
    return read_log(path, _MAX_MESSAGES_BYTES).decode("utf-8", errors="replace").splitlines()


def read_log(path: Path, max_bytes: int = _MAX_ANSWERS_BYTES) -> bytes:
    """The content of one of LoadGen's files. Raises RunFailed."""
    try:
        return read_bytes(path, max_bytes)
    except FileNotFoundError:
        raise RunFailed(
            f"LoadGen wrote no {path.name} in {path.parent}; the run is incomplete"
        ) from None
    except Unreadable as problem:
        raise RunFailed(f"{path} {problem}; repeat the run") from None


# Name in the summary, and key of the same figure in the detail log.
_SUMMARISED = {
    "Result is": "result_validity",
    "Samples per second": "result_samples_per_second",
    "Tokens per second": "result_tokens_per_second",
    "Completed samples per second": "result_completed_samples_per_sec",
    "Completed tokens per second": "result_completed_tokens_per_second",
    "90.0th percentile latency (ns)": "result_90.00_percentile_latency_ns",
    "QPS w/ loadgen overhead": "result_qps_with_loadgen_overhead",
    **{
        f"{percentile} percentile {name} (ns)": key.format(percentile)
        for percentile in ("50.00", "90.00", "99.00")
        for name, key in (
            ("latency", "result_{}_percentile_latency_ns"),
            ("first token latency", "result_first_token_{}_percentile_latency_ns"),
            ("time to output token", "result_time_per_output_token_{}_percentile_ns"),
        )
    },
}


def summary_differences(folder: Path, log: DetailLog) -> list[str]:
    """Figures of LoadGen's summary in `folder` that are not those of the detail log, in words.

    A rate may differ by half of the last of the digits printed. Raises RunFailed without a summary.
    """
    differences = []
    for line in _lines(TestFolder(folder).summary):
        name, colon, shown = (part.strip() for part in line.partition(":"))
        key = _SUMMARISED.get(name, "")
        if colon and key in log.values and not _same(shown, log.values[key]):
            differences.append(f"{name}: {shown} in the summary, {log.values[key]} in the detail")
    return differences


def _same(shown: str, logged: str | float) -> bool:
    if isinstance(logged, str) or not re.fullmatch(r"-?\d+(\.\d*)?(e[+-]?\d+)?", shown):
        return shown == str(logged)
    decimals = len(shown.partition(".")[2]) if "." in shown and "e" not in shown else 6
    return abs(float(shown) - logged) <= 0.501 * 10.0**-decimals + 1e-5 * abs(logged)
