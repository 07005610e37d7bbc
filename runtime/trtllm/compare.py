"""The facts of the bindings against the installed ones, asked in a process of their own, because
importing them starts MPI.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from build_engine.errors import EnvironmentFault
from build_engine.files import read_json, write_json
from build_engine.trtllm.contract import Comparison, said_by
from runtime.trtllm.contract import differences
from runtime.trtllm.facts import bindings_facts


def compare_bindings_facts() -> Comparison:
    """Ask the installed library. Raises EnvironmentFault where it does not answer."""
    top = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory(prefix="enginebench-") as folder:
        answer = Path(folder, "said.json")
        said_by([sys.executable, "-m", "runtime.trtllm.compare", str(answer)], str(top))
        found: list[str] = read_json(answer, EnvironmentFault, "look at what it printed")
    facts = bindings_facts()
    return Comparison(len(facts.classes) + len(facts.enums), tuple(found))


def _answer(file: Path) -> None:
    import tensorrt_llm  # noqa: F401  # the bindings load with the libraries that it loads
    from tensorrt_llm.bindings import executor

    write_json(file, differences(executor))


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
