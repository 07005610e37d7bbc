"""Packing: the whole tree or nothing, and everything that may not be packed refused by reason."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from build_engine.errors import (
    ConfigError,
    EnginebenchError,
    OutputError,
    RunExists,
    UnknownName,
    UsageError,
)
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.submission.check import check_tree
from harness.submission.official import run_official
from harness.submission.pack import PackRequest, pack, system_id
from harness.submission.tree import ORIGINALS
from tests.harness.dataset.records import make_record
from tests.harness.submission.conftest import SYSTEM
from tests.harness.submission.finished_runs import (
    as_newsbrief,
    edit_record,
    engine_manifest,
    make_run,
)
from tests.harness.submission.packing import pack_runs, refusal

ROOT = Path(__file__).parents[3]
REPOSITORY = os.environ.get("MLPERF_INFERENCE_REPO")


def test_a_sound_closed_tree_passes_our_check(sound_tree: Path) -> None:
    assert check_tree(sound_tree, load_round("v6.1")) == []


@pytest.mark.skipif(REPOSITORY is None, reason="MLPERF_INFERENCE_REPO names no checkout")
def test_a_sound_closed_tree_passes_the_official_check(sound_tree: Path) -> None:
    assert REPOSITORY is not None
    official = run_official(Path(REPOSITORY), sound_tree, "v6.1", "ExampleOrg")
    assert (official.exit_code, official.errors) == (0, ())
    assert "Closed Results=3" in official.output


def test_the_whole_accuracy_log_is_kept_beside_the_truncated_one(
    sound_tree: Path, sound_runs: dict[str, Path]
) -> None:
    below = "closed/ExampleOrg/results/Example_server/llama3.1-8b/Offline/accuracy"
    cut = sound_tree / below / "mlperf_log_accuracy.json"
    whole = sound_tree.with_name(f"tree{ORIGINALS}") / below / "mlperf_log_accuracy.json"
    content = (sound_runs["Offline"] / "accuracy" / "mlperf_log_accuracy.json").read_bytes()
    assert whole.read_bytes() == content
    assert cut.read_bytes() == content[:4096] + b"\n\n...\n\n" + content[-4096:]
    digest = hashlib.sha256(content).hexdigest()
    assert f"\nhash={digest}\n" in (sound_tree / below / "accuracy.txt").read_text()


def test_the_tree_has_the_code_and_says_how_a_result_came_about(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    packed = pack_runs(tmp_path, runs["Offline"], runs["Server"])
    home = packed.root / "closed" / "ExampleOrg"
    code = home / "src" / "enginebench"
    assert (code / "harness" / "submission" / "pack.py").is_file()
    assert (code / "configs" / "rounds" / "v6.1.yaml").is_file()
    assert not list(home.rglob("*.safetensors"))
    result = packed.results[0]
    readme = result.readme.read_text()
    assert readme.startswith("# llama3.1-8b, Offline\n\nUnofficial until MLCommons")
    assert engine_manifest().key in readme
    assert "- rouge1 38.7792" in readme
    assert "gen_len 8167644" in readme
    measurements = json.loads(result.measurements.read_text())
    assert measurements["weight_data_types"] == "int8"
    assert measurements["weight_transformations"].startswith("quantised by rounding")
    document = (home / "documentation" / "calibration.md").read_text()
    assert "No calibration data was used." in document
    assert "max_batch_size 64" in readme
    system = json.loads(result.system_file.read_text())
    assert system["host_processor_model_name"] == "Example CPU 9000"
    assert system["accelerators_per_node"] == "0"
    assert system["framework"] == "OpenVINO GenAI 2026.4.1.0"
    assert (system["submitter"], system["division"]) == ("ExampleOrg", "closed")
    assert result.user_conf.read_bytes() == (runs["Offline"] / "performance/user.conf").read_bytes()


def test_an_edge_result_needs_no_compliance_test(tmp_path: Path) -> None:
    offline = make_run(tmp_path / "offline", "llama3.1-8b-edge", Scenario.OFFLINE)
    single = make_run(tmp_path / "single", "llama3.1-8b-edge", Scenario.SINGLE_STREAM)
    system = SYSTEM.format(system_type="edge")
    packed = pack_runs(tmp_path, offline.folder.path, single.folder.path, system=system)
    assert [result.scenario for result in packed.results] == ["Offline", "SingleStream"]
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), packed.root, "v6.1", None).exit_code == 0
    text = next(packed.root.rglob("SingleStream/README.md")).read_text()
    assert "result_90.00_percentile_latency_ns: 145.093 ms" in text


def test_the_older_layout_of_v51_is_written_and_read(
    sound_runs: dict[str, Path], tmp_path: Path
) -> None:
    older = load_round("v6.1").model_copy(update={"layout": load_round("v5.1").layout})
    (tmp_path / "older.yaml").write_text(yaml.safe_dump(older.model_dump(mode="json")))
    (tmp_path / "system.yaml").write_text(SYSTEM.format(system_type="datacenter"))
    request = PackRequest(
        runs=[sound_runs["Offline"], sound_runs["Server"]],
        submitter="ExampleOrg",
        system=tmp_path / "system.yaml",
        division="closed",
        round=str(tmp_path / "older.yaml"),
    )
    packed = pack(request, tmp_path / "tree")
    assert check_tree(packed.root, older) == []
    home = packed.root / "closed" / "ExampleOrg"
    below = "Example_server/llama3.1-8b/Server"
    assert (home / "measurements" / below / "Example_server.json").is_file()
    assert (home / "measurements" / below / "user.conf").is_file()
    assert (home / "compliance" / below / "TEST06" / "verify_accuracy.txt").is_file()
    assert (home / "results" / below / "performance/run_1/mlperf_log_detail.txt").is_file()
    assert (home / "code" / "enginebench").is_dir()


def test_a_tree_and_runs_of_another_round_are_told_apart(
    sound_tree: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    found = refusal(tmp_path, runs["Offline"], runs["Server"], round_name="v5.1")
    assert "it was run with LoadGen" in found
    assert "round v5.1 needs 5.0.22 to 6.0.4" in found
    wrong = check_tree(sound_tree, load_round("v5.1"))
    sentences = {finding.sentence for finding in wrong}
    assert "the folder code/ is missing (there is src/; rename it)." in sentences
    assert "Example_server.json is missing." in sentences
    assert any(sentence.startswith("TEST06 is missing") for sentence in sentences)


def test_own_workloads_go_into_the_open_division_under_their_own_name(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    as_newsbrief(runs["Offline"])
    packed = pack_runs(tmp_path, runs["Offline"], division="open")
    assert packed.results[0].benchmark == "newsbrief"
    mapping = json.loads((packed.root / "open/ExampleOrg/model_mapping.json").read_text())
    assert mapping == {"newsbrief": "llama3.1-8b"}
    assert "This is not the MLPerf benchmark" in packed.results[0].readme.read_text()
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), packed.root, "v6.1", None).exit_code == 0


def test_the_benchmarks_name_is_for_its_own_data(runs: dict[str, Path], tmp_path: Path) -> None:
    dataset = make_record(
        source="mine.jsonl", digest="d" * 64, shortfalls=("its articles are mine",)
    )
    edit_record(runs["Offline"], dataset=dataset)
    found = refusal(tmp_path, runs["Offline"], runs["Server"])
    assert "its dataset is not the benchmark's: its articles are mine" in found
    packed = pack_runs(tmp_path, runs["Offline"], division="open")
    assert packed.results[0].benchmark == "llama3.1-8b-other-data"


def test_a_changed_benchmark_loses_its_name(runs: dict[str, Path], tmp_path: Path) -> None:
    edit_record(runs["Offline"], benchmark=None, marks=("changed workload",))
    packed = pack_runs(tmp_path, runs["Offline"], division="open")
    assert packed.results[0].benchmark == "llama3.1-8b-changed"
    assert "(changed workload)" in packed.results[0].readme.read_text()


@pytest.mark.parametrize("name", ["llama3_1-8b", "resnet"])
def test_a_name_that_the_checker_takes_for_its_own_is_not_given_to_a_users_workload(
    runs: dict[str, Path], tmp_path: Path, name: str
) -> None:
    as_newsbrief(runs["Offline"])
    named = load_workload("newsbrief").model_copy(update={"name": name})
    edit_record(runs["Offline"], workload=named)
    packed = pack_runs(tmp_path, runs["Offline"], division="open")
    assert packed.results[0].benchmark == f"{name}-own"
    assert check_tree(packed.root, load_round("v6.1")) == []
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), packed.root, "v6.1", None).passed


def test_a_mapping_does_not_rename_a_benchmark_of_the_checker(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    as_newsbrief(runs["Offline"])
    packed = pack_runs(tmp_path, runs["Offline"], division="open")
    home = packed.root / "open" / "ExampleOrg"
    for named in sorted(home.rglob("newsbrief")):
        named.rename(named.with_name("resnet"))
    (home / "model_mapping.json").write_text('{"resnet": "llama3.1-8b"}')
    found = [finding.sentence for finding in check_tree(packed.root, load_round("v6.1"))]
    assert any(sentence.startswith("resnet is no benchmark known here") for sentence in found)


@pytest.mark.parametrize(
    ("choices", "error", "says"),
    [
        ({"division": "network"}, UsageError, "network division is not supported"),
        ({"division": "shut"}, UnknownName, "Unknown division `shut`"),
        ({"submitter": "a/b"}, UsageError, "becomes a folder; use letters"),
        ({"system": "cooling: [air]"}, ConfigError, "cooling must be one value"),
        ({"system": "coolin: air"}, ConfigError, "coolin is no field .*Did you mean `cooling`"),
        ({"system": "a: b: c"}, ConfigError, "is not valid YAML"),
        ({"system": "text"}, ConfigError, "must hold `field: value` lines"),
        (
            {"system": SYSTEM.format(system_type="datacenter") + "division: open\n"},
            ConfigError,
            "division is open, the command says closed",
        ),
        (
            {"system": SYSTEM.format(system_type="cloud")},
            ConfigError,
            "field system_type must be one of datacenter; edge",
        ),
        (
            {"system": SYSTEM.replace("of_nodes: 1", "of_nodes: one").format(system_type="edge")},
            ConfigError,
            "field number_of_nodes must be a whole number, not one",
        ),
        (
            {"system": SYSTEM.replace("available", "soon").format(system_type="edge")},
            ConfigError,
            "field status must be one of available, preview, rdi",
        ),
        (
            {"system": SYSTEM.replace("air", "TODO").format(system_type="datacenter")},
            ConfigError,
            r"1 fields are for you to fill in: cooling \(air, liquid or passive\)",
        ),
        ({"system": "cooling: air"}, ConfigError, "fields are for you to fill in: status"),
    ],
)
def test_a_wrong_choice_is_named(
    sound_runs: dict[str, Path],
    tmp_path: Path,
    choices: dict[str, str],
    error: type[EnginebenchError],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        pack_runs(tmp_path, sound_runs["Offline"], sound_runs["Server"], **choices)
    assert not (tmp_path / "tree").exists()


def test_a_system_of_the_wrong_kind_leaves_no_tree(runs: dict[str, Path], tmp_path: Path) -> None:
    system = SYSTEM.format(system_type="edge")
    found = refusal(tmp_path, runs["Offline"], runs["Server"], system=system)
    assert "llama3.1-8b is no benchmark of edge systems" in found


def test_an_output_that_exists_is_left_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / f"tree{ORIGINALS}").mkdir()
    with pytest.raises(RunExists, match="choose another --output"):
        pack_runs(tmp_path, runs["Offline"], runs["Server"])
    shutil.rmtree(tmp_path / f"tree{ORIGINALS}")
    with pytest.raises(UsageError, match="No run was given"):
        pack_runs(tmp_path)


def test_an_output_that_is_the_working_folder(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "system.yaml").write_text(SYSTEM.format(system_type="datacenter"))
    request = PackRequest(
        runs=[runs["Offline"]],
        submitter="ExampleOrg",
        system=tmp_path / "system.yaml",
        division="closed",
    )
    with pytest.raises(RunExists, match="here exists already"):
        pack(request, Path())


def test_the_whole_logs_are_in_place_before_the_tree(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if target == tmp_path / "tree":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OutputError, match="No space left on device"):
        pack_runs(tmp_path, runs["Offline"], runs["Server"])
    kept = {path.name for path in tmp_path.iterdir()} - {path.name for path in runs.values()}
    assert kept == {f"tree{ORIGINALS}", "system.yaml"}
    assert list((tmp_path / f"tree{ORIGINALS}").rglob("mlperf_log_accuracy.json"))


_KILLED = """
import sys, time
from pathlib import Path
from harness.submission import pack

def stop(*_):
    print("begun", flush=True)
    time.sleep(60)

pack.check_tree = stop
top, *runs = map(Path, sys.argv[1:])
pack.pack(
    pack.PackRequest(
        runs=runs, submitter="ExampleOrg", system=top / "system.yaml", division="closed"
    ),
    top / "another",
)
"""


def test_what_a_killed_pack_left_goes_with_the_next(
    sound_runs: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM.format(system_type="datacenter"))
    packed = (sound_runs["Offline"], sound_runs["Server"])
    command = [sys.executable, "-c", _KILLED, str(tmp_path), *map(str, packed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        (left,) = tmp_path.glob(".*")
        assert list(left.rglob("mlperf_log_accuracy.json"))
        pack_runs(tmp_path, *packed)
        assert left.exists()  # of one that is at work
        shutil.rmtree(tmp_path / "tree")
        shutil.rmtree(tmp_path / f"tree{ORIGINALS}")
        process.kill()
    assert left.exists()
    pack_runs(tmp_path, *packed)
    assert {path.name for path in tmp_path.iterdir()} == {"system.yaml", "tree", f"tree{ORIGINALS}"}


def test_a_system_name_becomes_a_folder() -> None:
    assert system_id("2x A30 (24 GB), INT8") == "2x_A30_24_GB_INT8"
