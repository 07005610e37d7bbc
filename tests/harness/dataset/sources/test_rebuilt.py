"""CNN/DailyMail from a hub on loopback or a local copy: in the benchmark's order, whole, once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import DatasetError, EnvironmentFault, MissingLibrary
from harness.dataset.preparation import prepare
from harness.dataset.sources import rebuilt
from harness.dataset.sources.rebuilt import Rebuilt, from_folder, from_hub
from harness.dataset.sources.source import Source
from harness.progress import NullProgress
from harness.rules.workload import OfficialData, Workload, load_workload
from newsbrief import CHECKPOINT
from tests.build_engine.hub_server import (
    HUB_ID,
    REVISION,
    TOKEN,
    Hub,
    point_at,
    serve,
    write_split,
)

datasets = pytest.importorskip("datasets")

ROWS = 50
_DATASET = ("dataset", "--workload", "llama3.1-8b", "--model", "newsbrief")
CARD = """---
configs:
- config_name: 3.0.0
  data_files:
  - split: train
    path: 3.0.0/train-*
  - split: validation
    path: 3.0.0/validation-*
---
"""


@pytest.fixture
def data() -> OfficialData:
    return _data(load_workload("llama3.1-8b"))


@pytest.fixture
def edge() -> OfficialData:
    return _data(load_workload("llama3.1-8b-edge"))


def _data(workload: Workload) -> OfficialData:
    assert workload.data is not None
    sizes = {"train": 70, "validation": ROWS, "test": 30}
    size = Tokenizer.load(CHECKPOINT).vocab_size
    return workload.data.model_copy(update={"split_samples": sizes, "vocab_size": size})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A local copy of the hub's repository."""
    folder = tmp_path / "copy"
    write_split(folder, "validation", ROWS, num_files=2)
    write_split(folder, "train", 70)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


@pytest.fixture
def hub(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with that copy, which the library talks to."""
    hub = Hub(_files(copy))
    with serve(hub) as address:
        point_at(address, tmp_path / "library", monkeypatch)
        yield hub


def _rebuild(folder: Path, data: OfficialData, root: Path, count: int = ROWS) -> Rebuilt:
    return from_folder(folder, data, count, root, NullProgress())


def _rows(found: Rebuilt) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found.path.read_text(encoding="utf-8").splitlines()]


def test_a_copy_of_the_repository_gives_the_split_in_its_order(
    copy: Path, data: OfficialData, tmp_path: Path
) -> None:
    found = _rebuild(copy, data, tmp_path)
    rows = _rows(found)
    assert [row["article"] for row in rows] == [
        f"Article {i} of validation, with “quotes”." for i in range(ROWS)
    ]
    assert rows[3]["highlights"] == "Highlight 3 .\nSecond line ."
    assert rows[3]["id"] == hashlib.sha1(b"validation3").hexdigest()
    assert found.digest == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert found.origin.split_samples == ROWS
    assert found.name == "cnn_dailymail-3.0.0-validation"


def test_the_edge_set_is_what_the_benchmark_s_script_takes(
    copy: Path, edge: OfficialData, tmp_path: Path
) -> None:
    found = _rebuild(copy, edge, tmp_path, count=20)
    loaded = datasets.load_dataset(
        str(copy), "3.0.0", split="validation", cache_dir=str(tmp_path / "arrow")
    )
    theirs = loaded.shuffle(seed=42).flatten_indices().take(20)
    assert [row["id"] for row in _rows(found)] == list(theirs["id"])
    assert found.name == "cnn_dailymail-3.0.0-validation-first20-seed42"


@pytest.mark.parametrize("num_rows", [1, 13_368])
def test_the_shuffle_is_that_of_datasets(num_rows: int) -> None:
    table = datasets.Dataset.from_dict({"row": list(range(num_rows))})
    assert rebuilt.shuffled(num_rows, 42) == list(table.shuffle(seed=42)["row"])


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_that_datasets_saved(
    data: OfficialData, tmp_path: Path, whole: bool, copy: Path
) -> None:
    cache = str(tmp_path / "arrow")
    loaded = datasets.load_dataset(str(copy), "3.0.0", cache_dir=cache)
    (loaded if whole else loaded["validation"]).save_to_disk(str(tmp_path / "saved"))
    found = _rebuild(tmp_path / "saved", data, tmp_path)
    assert found.digest == _rebuild(copy, data, tmp_path).digest


def test_plain_parquet_files_named_by_split(data: OfficialData, tmp_path: Path) -> None:
    write_split(tmp_path, "validation", ROWS)
    (tmp_path / "3.0.0").rename(tmp_path / "plain")
    found = _rebuild(tmp_path / "plain", data, tmp_path)
    assert (len(_rows(found)), found.origin.config) == (ROWS, "default")
    full = load_workload("llama3.1-8b")
    workload = full.model_copy(update={"num_samples": ROWS, "data": data})
    source = Source.for_workload(str(tmp_path / "plain"), workload)
    prepared = prepare(workload, source, CHECKPOINT, tmp_path, None, NullProgress())
    assert prepared.shortfalls == ["its configuration is default, not 3.0.0"]


def test_the_wrong_split_is_refused(data: OfficialData, tmp_path: Path) -> None:
    write_split(tmp_path, "test", 30)
    (tmp_path / "3.0.0").rename(tmp_path / "plain")
    with pytest.raises(DatasetError, match=r"no validation split, .*; it has: test\."):
        _rebuild(tmp_path / "plain", data, tmp_path)


def test_another_configuration_is_refused(data: OfficialData, copy: Path, tmp_path: Path) -> None:
    (copy / "README.md").write_text(CARD.replace("3.0.0\n  data", "1.0.0\n  data"))
    with pytest.raises(DatasetError, match=r"no configuration 3.0.0; it has: 1.0.0"):
        _rebuild(copy, data, tmp_path)


def test_a_split_of_another_size_is_not_remembered(
    hub: Hub, data: OfficialData, tmp_path: Path
) -> None:
    larger = data.model_copy(update={"split_samples": {"validation": ROWS + 1}})
    for _ in range(2):
        asked = hub.num_requests
        assert from_hub(larger, ROWS + 1, tmp_path, NullProgress()).origin.split_samples == 50
        assert hub.num_requests > asked


@pytest.mark.parametrize("content", ["{}", "[]", '{"splits": 3}'])
def test_a_folder_with_damaged_metadata_is_refused(
    data: OfficialData, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "saved"
    datasets.Dataset.from_dict({"article": ["a"], "highlights": ["b"]}).save_to_disk(str(folder))
    (folder / "state.json").write_text(content)
    with pytest.raises(DatasetError, match="is not a dataset that `datasets` can read"):
        _rebuild(folder, data, tmp_path)


def test_a_damaged_file_is_refused_and_leaves_nothing(
    data: OfficialData, copy: Path, tmp_path: Path
) -> None:
    path = copy / "3.0.0" / "validation-00001-of-00002.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=r"get its files again|cannot be read|can read"):
        _rebuild(copy, data, tmp_path)
    assert not (tmp_path / "sources").exists()


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"article": ["a", None], "highlights": ["b", "c"]}, r"row 1 has no text under `article`"),
        ({"article": ["a", "d"], "summary": ["b", "c"]}, r"row 0 has no text under `highlights`"),
        (
            {"article": ["a", "d"], "highlights": ["b", "c"], "id": ["x", "x"]},
            r"row 1 has the id x of .* row 0",
        ),
    ],
)
def test_a_row_that_is_wrong_is_named(
    data: OfficialData, tmp_path: Path, columns: Mapping[str, list[Any]], told: str
) -> None:
    saved = datasets.DatasetDict({"validation": datasets.Dataset.from_dict(columns)})
    saved.save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DatasetError, match=told):
        _rebuild(tmp_path / "saved", data, tmp_path)


def test_a_split_that_is_not_whole_needs_a_count_and_has_no_name(
    copy: Path, tmp_path: Path
) -> None:
    workload = load_workload("llama3.1-8b")
    source = Source.find(str(copy), workload)
    assert source.kind == "rebuilt"
    with pytest.raises(DatasetError, match=r"has 50 records .* has 13,368; get the whole set"):
        prepare(workload, source, CHECKPOINT, tmp_path, None, NullProgress())
    trial = prepare(workload, source, CHECKPOINT, tmp_path, 50, NullProgress())
    assert trial.benchmark is None
    assert trial.record.origin is not None
    assert trial.record.origin.split_samples == 50
    assert "its split has 50 rows, not 13,368" in trial.shortfalls
    with pytest.raises(DatasetError, match=r"distributed as a file: get cnn_dailymail_calibrat"):
        Source.find(str(copy), workload, purpose="calibration")


def test_a_whole_split_carries_the_name(copy: Path, data: OfficialData, tmp_path: Path) -> None:
    full = load_workload("llama3.1-8b")
    workload = full.model_copy(update={"num_samples": ROWS, "data": data})
    source = Source.for_workload(str(copy), workload)
    prepared = prepare(workload, source, CHECKPOINT, tmp_path, None, NullProgress())
    assert prepared.benchmark == "llama3.1-8b"
    assert prepared.num_samples == ROWS


def test_a_drawn_set_says_that_nobody_has_compared_it(
    copy: Path, edge: OfficialData, tmp_path: Path
) -> None:
    full = load_workload("llama3.1-8b-edge")
    workload = full.model_copy(update={"num_samples": 20, "data": edge})
    source = Source.for_workload(str(copy), workload)
    prepared = prepare(workload, source, CHECKPOINT, tmp_path, None, NullProgress())
    assert prepared.benchmark == "llama3.1-8b-edge"
    (note,) = prepared.record.notes
    assert "nobody has shown that this is sample_cnn_eval_5000.json" in note


def _files(copy: Path) -> dict[str, bytes]:
    paths = [*copy.rglob("*.parquet"), copy / "README.md"]
    return {path.relative_to(copy).as_posix(): path.read_bytes() for path in paths}


def _environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    """What a process of its own needs, as the library reads its settings only once."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    own = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    return {**clean, "PYTHONPATH": os.pathsep.join(sys.path), **own, **settings}


def _enginebench(
    tmp_path: Path, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    code = "from harness.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *_DATASET, *arguments],
        env=_environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_fetches_from_a_gated_hub_with_a_token_and_then_needs_none(
    copy: Path, tmp_path: Path
) -> None:
    arguments = ("--count", "20", "--json")
    with serve(Hub(_files(copy), gated=True)) as address:
        refused = _enginebench(tmp_path, *arguments, HF_ENDPOINT=address)
        fetched = _enginebench(tmp_path, *arguments, HF_ENDPOINT=address, HF_TOKEN=TOKEN)
    assert refused.returncode == 2
    assert "is gated on http://127.0.0.1" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert fetched.returncode == 0, fetched.stderr
    assert f"Downloading {HUB_ID}" in fetched.stderr
    assert f"{HUB_ID} at {REVISION}, 3.0.0, validation split of 50 rows" in fetched.stderr
    assert "Not the set of an MLPerf benchmark: it has 20 of 13,368 samples" in fetched.stderr
    assert "--dataset cnn_dailymail --count 20 --scenario" in fetched.stderr
    meta = json.loads(fetched.stdout)
    assert (meta["num_samples"], meta["origin"]["revision"]) == (20, REVISION)
    # Nobody listens any more, and nothing is asked: the articles are here.
    again = _enginebench(tmp_path, *arguments, HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["digest"] == meta["digest"]


def test_offline_what_datasets_loaded_before_is_found(copy: Path, tmp_path: Path) -> None:
    missing = _enginebench(tmp_path, "--count", "20", HF_HUB_OFFLINE="1")
    assert missing.returncode == 3
    assert (
        "HF_DATASETS_OFFLINE is set and abisee/cnn_dailymail is not in the cache" in missing.stderr
    )
    load = f"import datasets; datasets.load_dataset('{HUB_ID}', '3.0.0', split='validation')"
    with serve(Hub(_files(copy))) as address:
        subprocess.run(
            [sys.executable, "-c", load],
            env=_environment(tmp_path, HF_ENDPOINT=address),
            check=True,
            capture_output=True,
            timeout=120,
        )
    shutil.rmtree(tmp_path / "hf" / "hub")  # what is left is what `datasets` made of the files
    found = _enginebench(tmp_path, "--count", "20", "--json", HF_HUB_OFFLINE="1")
    assert found.returncode == 0, found.stderr
    assert "is taken from what `datasets` loaded before" in found.stderr
    assert json.loads(found.stdout)["origin"]["revision"] is None


def test_a_set_of_another_owners_hub_is_not_found_for_the_benchmarks(
    hub: Hub, data: OfficialData, tmp_path: Path
) -> None:
    from_hub(data, ROWS, tmp_path, NullProgress())
    asked = hub.num_requests
    others = data.model_copy(update={"hub": f"someone/{data.short_name}"})
    with pytest.raises(EnvironmentFault, match="HTTP 404 for someone/cnn_dailymail"):
        from_hub(others, ROWS, tmp_path, NullProgress())
    assert hub.num_requests > asked


def test_what_was_rebuilt_is_found_again_until_it_is_damaged(
    hub: Hub, data: OfficialData, tmp_path: Path
) -> None:
    first = from_hub(data, ROWS, tmp_path, NullProgress())
    asked = hub.num_requests
    assert from_hub(data, ROWS, tmp_path, NullProgress()) == first
    assert hub.num_requests == asked
    first.path.write_bytes(first.path.read_bytes()[:-10])
    assert from_hub(data, ROWS, tmp_path, NullProgress()) == first
    assert hub.num_requests > asked
    assert len(_rows(first)) == ROWS
    assert first.origin.revision == REVISION


def test_without_data_and_without_a_hub_the_cause_is_told(
    data: OfficialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(Hub({})) as address:
        pass
    point_at(address, tmp_path / "library", monkeypatch)
    with pytest.raises(EnvironmentFault, match="cannot be fetched"):
        from_hub(data, ROWS, tmp_path, NullProgress())
    assert not (tmp_path / "sources").exists()


def test_a_library_that_is_not_installed_is_named_with_its_extra(
    data: OfficialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingLibrary, match=r"pip install 'enginebench\[hub\]'"):
        from_hub(data, ROWS, tmp_path, NullProgress())
