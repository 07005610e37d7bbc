"""LoadGen's own logs, read back: what a run measured is what its detail log says.

Figures come from `mlperf_log_detail.txt`, never from the summary, which is for people.
`result_token_throughput` is not used: LoadGen 6.0 prints it wrong by nine orders of magnitude.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engine.errors import RunFailed

DETAIL = "mlperf_log_detail.txt"
SUMMARY = "mlperf_log_summary.txt"
ACCURACY = "mlperf_log_accuracy.json"

_MARK = ":::MLLOG "


@dataclass(frozen=True, slots=True)
class DetailLog:
    """The last value of each key, and the error and warning messages."""

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
        except json.JSONDecodeError:
            raise RunFailed(f"{path} has a broken line; the run is incomplete") from None
        values[entry["key"]] = entry["value"]
        if entry["metadata"].get("is_error"):
            errors.append(str(entry["value"]))
        elif entry["metadata"].get("is_warning"):
            warnings.append(str(entry["value"]))
    if "effective_scenario" not in values:
        raise RunFailed(f"{path} has no settings in it; LoadGen ended before the test began")
    return DetailLog(values, tuple(errors), tuple(warnings))
