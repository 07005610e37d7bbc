"""A workload and a round of few samples and seconds: a whole run under them takes moments.

They are files of the user's own, so nothing made under them can be taken for a result of MLPerf.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import configs


def write_quick_rules(
    folder: Path, num_samples: int, min_duration_s: float, max_new_tokens: int = 128
) -> tuple[Sequence[str], Sequence[str]]:
    """Write both files; the options that choose the workload, and those that choose the round."""
    top = Path(configs.__file__).parent
    workload = _read(top / "workloads" / "newsbrief.yaml")
    workload |= {"name": "quick", "num_samples": num_samples, "min_duration_s": min_duration_s}
    workload["max_new_tokens"] = max_new_tokens
    workload["scenarios"]["Server"]["min_query_count"] = num_samples
    workload_path = folder / "quick.yaml"
    workload_path.write_text(yaml.safe_dump(workload), encoding="utf-8")
    rules = _read(top / "rounds" / "v6.1.yaml")
    rules |= {"name": "quick", "min_duration_s": min_duration_s}
    rules["benchmarks"]["llama3.1-8b"]["num_samples"] = num_samples
    round_path = folder / "quick-round.yaml"
    round_path.write_text(yaml.safe_dump(rules), encoding="utf-8")
    return ("--workload", str(workload_path)), ("--round", str(round_path))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
