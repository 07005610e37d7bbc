"""LoadGen's own logs, read back: what a run measured is what its detail log says.

Figures come from `mlperf_log_detail.txt`, never from the summary, which is for people.
`result_token_throughput` is not used: LoadGen 6.0 prints it wrong by nine orders of magnitude.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import RunFailed

if TYPE_CHECKING:
    from runtime.executor import TokenIds

DETAIL = "mlperf_log_detail.txt"
SUMMARY = "mlperf_log_summary.txt"
ACCURACY = "mlperf_log_accuracy.json"

_MARK = ":::MLLOG "
_NUMBERS = re.compile(r"_(ns|ms|count|latency|second|sec|per_query|seed|overhead)$")  # keys


@dataclass(frozen=True, slots=True)
class DetailLog:
    """The first value of each key, as the submission checker reads it, and the error and warning
    messages.
    """

    values: Mapping[str, Any]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """LoadGen's own verdict on a performance test."""
        return self.values.get("result_validity") == "VALID"

    @property
    def invalid_reasons(self) -> tuple[str, ...]:
        """Which of LoadGen's conditions failed, in its own terms."""
        conditions = (
            "result_perf_constraints_met",
            "result_min_duration_met",
            "result_min_queries_met",
            "early_stopping_met",
        )
        return tuple(name for name in conditions if self.values.get(name) is False)

    @property
    def version(self) -> str:
        """LoadGen's version, without the commit it was built from."""
        return str(self.values.get("loadgen_version", "unknown")).partition(" ")[0]

    @property
    def num_answers(self) -> int:
        """Samples that LoadGen asked for and got."""
        key = "generated_samples_per_query" if self._is_offline else "result_query_count"
        return int(self.values.get(key, 0))

    @property
    def duration_s(self) -> float:
        """From the first query to the last answer, by LoadGen's own rate and count (6 digits)."""
        rate = self.metrics().get("samples_per_s", 0.0)
        server = "result_completed_samples_per_sec" in self.values
        intervals = self.num_answers - server  # that rate leaves out the first of the queries
        return intervals / rate if rate else 0.0

    @property
    def num_tokens(self) -> float | None:
        """Tokens that LoadGen was told of, by its own rates (6 digits).

        None where it logs no such rate, and in SingleStream, where its rates of samples and of
        tokens are over spans that differ by milliseconds.
        """
        rate = self.metrics().get("tokens_per_s")
        comparable = self.values["effective_scenario"] in ("Offline", "Server")
        return rate * self.duration_s if comparable and rate is not None else None

    @property
    def _is_offline(self) -> bool:
        return bool(self.values.get("effective_scenario") == "Offline")

    def metrics(self) -> dict[str, float]:
        """The figures of a performance test, in seconds and per second; a key is absent where
        LoadGen gives none.
        """
        values = self.values
        found: dict[str, float] = {}
        for name, keys in _RATES.items():
            value = next((values[key] for key in keys if key in values), None)
            if value is not None:
                found[name] = float(value)
        for name, prefix in _LATENCIES.items():
            for percentile in ("50.00", "90.00", "99.00"):
                value = values.get(prefix.format(percentile))
                if value is not None:
                    found[f"{name}_p{percentile[:2]}_s"] = value / 1e9
        return found


_RATES = {
    "samples_per_s": (
        "result_samples_per_second",
        "result_completed_samples_per_sec",
        "result_qps_with_loadgen_overhead",
    ),
    "tokens_per_s": ("result_tokens_per_second", "result_completed_tokens_per_second"),
}
_LATENCIES = {
    "ttft": "result_first_token_{}_percentile_latency_ns",
    "tpot": "result_time_per_output_token_{}_percentile_ns",
    "latency": "result_{}_percentile_latency_ns",
}


def read_detail(folder: Path) -> DetailLog:
    """The detail log of a finished test in `folder`. Raises RunFailed when LoadGen did not finish
    it.
    """
    path = folder / DETAIL
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise RunFailed(f"LoadGen wrote no {DETAIL} in {folder}; the run is incomplete") from None
    values: dict[str, Any] = {}
    errors: list[str] = []
    warnings: list[str] = []
    for line in lines:
        if not line.startswith(_MARK):
            continue
        try:
            entry = json.loads(line[len(_MARK) :])
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
    """Every entry of the accuracy log in `folder`, duplicates included.

    Raises RunFailed when the log is missing, cut short, or not what LoadGen writes.
    """
    path = folder / ACCURACY
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [_answer(entry) for entry in entries]
    except FileNotFoundError:
        raise RunFailed(f"LoadGen wrote no {ACCURACY} in {folder}; the run is incomplete") from None
    except (KeyError, TypeError, ValueError) as error:
        raise RunFailed(f"{path} is broken ({error}); repeat the run") from None


def _answer(entry: dict[str, Any]) -> LoggedAnswer:
    import numpy as np

    index, first = int(entry["qsl_idx"]), entry.get("token_data")
    return LoggedAnswer(
        index,
        np.frombuffer(bytes.fromhex(entry["data"]), np.int32),
        None if first is None else np.frombuffer(bytes.fromhex(first), np.int32),
        int(entry["token_count"]),
    )


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
    try:
        text = (folder / SUMMARY).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise RunFailed(f"LoadGen wrote no {SUMMARY} in {folder}; the run is incomplete") from None
    differences = []
    for line in text.splitlines():
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
