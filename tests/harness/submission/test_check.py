"""Our check: each defect of a tree that nothing else is wrong with is named, one sentence each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import UsageError
from harness.rules.rounds import load_round
from harness.rules.workload import load_workload
from harness.submission.check import check_tree
from harness.submission.official import run_official
from harness.submission.tree import ORIGINALS, Result, Submitter
from tests.harness.misbehave import misbehave
from tests.harness.submission.finished_runs import whole_plan

REPOSITORY = os.environ.get("MLPERF_INFERENCE_REPO")
V61 = load_round("v6.1")
HOME = "closed/ExampleOrg"
RESULTS = f"{HOME}/results/Example_server/llama3.1-8b"


def sentences(tree: Path) -> list[str]:
    return [finding.sentence for finding in check_tree(tree, V61)]


def remove(path: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        target = tree / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return act


def write(path: str, text: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        (tree / path).write_text(text)

    return act


def rewrite(path: str, old: str, new: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        text = (tree / path).read_text()
        assert old in text
        (tree / path).write_text(text.replace(old, new))

    return act


def field(path: str, key: str, value: Any) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        content = json.loads((tree / path).read_text())
        content[key] = value
        (tree / path).write_text(json.dumps(content))

    return act


def drop(path: str, key: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        content = json.loads((tree / path).read_text())
        del content[key]
        (tree / path).write_text(json.dumps(content))

    return act


def move(old: str, new: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        (tree / old).rename(tree / new)

    return act


def whole_log(tree: Path) -> None:
    below = f"{RESULTS}/Offline/accuracy/mlperf_log_accuracy.json"
    shutil.copyfile(tree.with_name(f"tree{ORIGINALS}") / below, tree / below)


def server_as_interactive(tree: Path) -> None:
    shutil.rmtree(tree / RESULTS / "Interactive")
    shutil.copytree(tree / RESULTS / "Server", tree / RESULTS / "Interactive")


def borrowed_accuracy(tree: Path) -> None:
    shutil.rmtree(tree / RESULTS / "Server" / "accuracy")
    shutil.copytree(tree / RESULTS / "Offline" / "accuracy", tree / RESULTS / "Server" / "accuracy")


def without_server(tree: Path) -> None:
    shutil.rmtree(tree / RESULTS / "Server")
    shutil.rmtree(tree / RESULTS / "Interactive")


SYSTEM_JSON = f"{HOME}/systems/Example_server.json"
MEASUREMENTS = f"{RESULTS}/Offline/measurements.json"
ACCURACY_TXT = f"{RESULTS}/Offline/accuracy/accuracy.txt"
VERIFIED = f"{RESULTS}/Server/TEST06/verify_accuracy.txt"


# What to break, the sentence, and whether the official checker sees it too.
DEFECTS: list[tuple[Callable[[Path], None], str, bool]] = [
    (remove(f"{RESULTS}/Offline/TEST06"), "TEST06 is missing; run `enginebench audit`", True),
    (remove(VERIFIED), "TEST06/verify_accuracy.txt is missing", True),
    (
        rewrite(VERIFIED, "EOS check pass: True", "EOS check pass: False"),
        "EOS check pass is F",
        True,
    ),
    (
        rewrite(VERIFIED, "First token check pass: True", "First token check pass: Skipped"),
        "TEST06 skipped the first token check, which Server needs.",
        False,
    ),
    (
        rewrite(VERIFIED, "Sample length check pass: True", ""),
        "length check pass is not there",
        True,
    ),
    (
        remove(f"{RESULTS}/Server/TEST06/accuracy"),
        "LoadGen wrote no mlperf_log_accuracy.json",
        False,
    ),
    (remove(f"{RESULTS}/Offline/README.md"), "README.md is missing.", True),
    (write(f"{RESULTS}/Offline/README.md", ""), "README.md is empty.", True),
    (remove(f"{RESULTS}/Offline/user.conf"), "user.conf is missing.", True),
    (remove(f"{HOME}/src"), "the folder src/ is missing; add the code that ran.", True),
    (move(f"{HOME}/src", f"{HOME}/code"), "src/ is missing (there is code/; rename it).", True),
    (remove(f"{HOME}/src/README.md"), "the folder src/ is empty; add the code that ran.", False),
    (remove(f"{HOME}/documentation"), "documentation/ has no calibration description", False),
    (
        rewrite(f"{RESULTS}/Server/performance/run_1/mlperf_log_summary.txt", "21.90", "21.9.0"),
        "the summary of the performance test does not agree with its detail: ",
        False,
    ),
    (borrowed_accuracy, "the accuracy log is of scenario Offline; run the accuracy test", False),
    (without_server, "the required scenario Server or Interactive is missing", True),
    (remove(f"{RESULTS}/Offline"), "the required scenario Offline is missing", True),
    (
        move(f"{RESULTS}/Interactive", f"{RESULTS}/SingleStream"),
        "llama3.1-8b has no scenario SingleStream in round v6.1.",
        True,
    ),
    (
        rewrite(ACCURACY_TXT, "'rouge1': '38.7792'", "'rouge1': '38.39'"),
        "below the gate of 38.391408",
        True,
    ),
    (
        rewrite(ACCURACY_TXT, "'rouge1': '38.7792'", "'rouge1': '3.8.7'"),
        "accuracy.txt has rouge1 3.8.7, which is no number.",
        True,
    ),
    (rewrite(ACCURACY_TXT, "'rougeLsum'", "'rougeLmax'"), "accuracy.txt has no rougeLsum", True),
    (
        rewrite(ACCURACY_TXT, "\n\nhash", "\n{'rouge1': '12.5'}\nhash"),
        "rouge1 is 12.5, below the gate of 38.391408",
        True,
    ),
    (
        rewrite(ACCURACY_TXT, "8167644", "8984409"),
        "gen_len is 8984409, above the gate of 8984408.4",
        True,
    ),
    (
        rewrite(ACCURACY_TXT, "8167644", "np.int64(8167644)"),
        "holds a NumPy number (np.int64)",
        True,
    ),
    (rewrite(ACCURACY_TXT, "hash=", "sha="), "accuracy.txt has no hash= line", True),
    (rewrite(ACCURACY_TXT, "hash=", "hash=0"), "the hash of accuracy.txt is not that of", False),
    (remove(ACCURACY_TXT), "accuracy/accuracy.txt is missing", True),
    (whole_log, "bytes and is not truncated to 10,240", True),
    (
        remove(f"{RESULTS}/Offline/accuracy/mlperf_log_accuracy.json"),
        "mlperf_log_accuracy.json is",
        True,
    ),
    (
        remove(f"{RESULTS}/Offline/performance/run_1/mlperf_log_summary.txt"),
        "log_summary.txt is",
        False,
    ),
    (
        write(
            f"{RESULTS}/Offline/performance/run_1/mlperf_log_summary.txt", "Samples per second: 99"
        ),
        "Samples per second: 99 in the summary, 21.9443 in the detail",
        False,
    ),
    (drop(MEASUREMENTS, "retraining"), "measurements.json: field retraining is missing.", True),
    (field(MEASUREMENTS, "weight_data_types", ""), "field weight_data_types is empty.", True),
    (remove(MEASUREMENTS), "measurements.json is missing.", True),
    (drop(SYSTEM_JSON, "cooling"), "field cooling is missing.", True),
    (field(SYSTEM_JSON, "framework", ""), "field framework is empty.", True),
    (field(SYSTEM_JSON, "accelerators_per_node", 0), "field accelerators_per_node is empty.", True),
    (field(SYSTEM_JSON, "number_of_nodes", "one"), "must be a whole number, not one.", True),
    (field(SYSTEM_JSON, "cooling", "TBD"), "field cooling still holds a placeholder (TBD).", False),
    (field(SYSTEM_JSON, "status", "soon"), "status must be one of available, preview, rdi.", True),
    (field(SYSTEM_JSON, "submitter", "Other"), "submitter is Other, and its folder is Exam", True),
    (field(SYSTEM_JSON, "division", "open"), "division is open, and its folder is closed.", True),
    (field(SYSTEM_JSON, "is_network", "true"), "is_network is true; take it out", True),
    (field(SYSTEM_JSON, "is_network", "False"), "is_network is False; take it out", True),
    (field(SYSTEM_JSON, "system_type", "edge"), "is no benchmark of edge systems", True),
    (
        server_as_interactive,
        "it ran under a TTFT limit of 2000 ms, and Interactive has 500 ms",
        False,
    ),
    (
        write(f"{RESULTS}/Offline/audit.config", "*.*.mode = 2"),
        "audit.config does not belong",
        False,
    ),
    (write(f"{HOME}/systems/Old.json", "{}"), "systems/Old.json has no results.", False),
    (
        lambda tree: (tree / HOME / "notes").symlink_to(tree / SYSTEM_JSON),
        "notes is a link; put the file itself there.",
        False,
    ),
]


@pytest.mark.parametrize(("spoil", "sentence", "official"), DEFECTS)
def test_each_defect_is_named(
    tree: Path, spoil: Callable[[Path], None], sentence: str, official: bool
) -> None:
    assert sentences(tree) == []
    spoil(tree)
    found = sentences(tree)
    assert [text for text in found if sentence in text], found
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed is not official


def _lines(tree: Path, test: str, change: Callable[[str], str]) -> None:
    path = tree / RESULTS / "Offline" / test / "mlperf_log_detail.txt"
    path.write_text("".join(change(line) for line in path.read_text().splitlines(keepends=True)))


def test_a_log_of_a_loadgen_that_says_less_is_read_as_the_checker_does(tree: Path) -> None:
    """LoadGen before 6.0.15 does not log how many samples an accuracy test asked for."""
    _lines(tree, "accuracy", lambda s: "" if "effective_accuracy_sample_count" in s else s)
    assert sentences(tree) == []
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed
    _lines(tree, "accuracy", lambda s: "" if "qsl_reported_total_count" in s else s)
    assert sentences(tree) == ["the accuracy test answered 0 samples, not all 13,368."]


@pytest.mark.parametrize(
    "entry", ["[]", '{"key": 1}', '{"key": "result_query_count", "value": null, "metadata": {}}']
)
def test_a_log_with_a_line_of_another_kind_is_broken(tree: Path, entry: str) -> None:
    _lines(tree, "performance/run_1", lambda s: f":::MLLOG {entry}\n")
    (found,) = sentences(tree)
    assert found.endswith("mlperf_log_detail.txt has a broken line; the run is incomplete.")


def test_a_tree_is_checked_from_within(sound_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sound_tree)
    assert check_tree(Path(), V61) == []


def test_measurements_may_have_more_in_their_name_in_an_older_round(tmp_path: Path) -> None:
    layout = load_round("v5.1").layout
    by = Submitter(root=tmp_path, layout=layout, division="closed", name="ExampleOrg")
    result = Result(by, "Example[1]", "llama3.1-8b", "Offline")
    assert result.measurements.name == "Example[1].json"
    result.measurements.parent.mkdir(parents=True)
    longer = result.measurements.with_name("Example[1]_openvino_Offline.json")
    longer.write_text("{}")
    assert result.measurements == longer


def test_logs_of_another_round_are_named_by_seed_and_version(sound_tree: Path) -> None:
    found = [f.sentence for f in check_tree(sound_tree, load_round("v6.0"))]
    for text in (
        "effective_qsl_rng_seed of the performance test is 2085463073848966840, not that of round",
        "effective_schedule_rng_seed of the accuracy test is",
        "the performance test ran with LoadGen 6.0.17, and round v6.0 needs 6.0.5 to 6.0.15.",
    ):
        assert [sentence for sentence in found if sentence.startswith(text)]
    if REPOSITORY is not None:
        assert not run_official(Path(REPOSITORY), sound_tree, "v6.0", None).passed


def replace_offline(tree: Path, work: Path, fault: str) -> None:
    """Put logs of a test in the place of Offline's that asked for 600 s and took a second."""
    workload = load_workload("llama3.1-8b")
    logs = misbehave(work, whole_plan(workload, "Offline"), fault)
    for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
        shutil.copyfile(logs / name, tree / RESULTS / "Offline/performance/run_1" / name)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("none", "s, less than the 600 s of the round"),
        ("twice", "the performance test has 1 LoadGen errors: Attempted to complete a sample twic"),
        ("129 each", "answers have 129.00 tokens on average, above the limit of 128"),
    ],
)
def test_what_the_official_checker_lets_pass_is_named(
    tree: Path, tmp_path: Path, fault: str, text: str
) -> None:
    replace_offline(tree, tmp_path / "test", fault)
    found = sentences(tree)
    assert [sentence for sentence in found if text in sentence], found
    invalid = "LoadGen calls the performance test INVALID (result_min_duration_met)"
    assert [sentence for sentence in found if sentence.startswith(invalid)]
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed


def test_the_rules_are_data(tree: Path) -> None:
    shorter = V61.model_copy(update={"min_duration_s": 601.0, "max_accuracy_log_bytes": 100})
    found = [finding.sentence for finding in check_tree(tree, shorter)]
    assert any("a minimum duration of 600 s was requested" in sentence for sentence in found)
    assert any("is not truncated to 100" in sentence for sentence in found)


def test_offline_inferred_from_singlestream_is_named(tree: Path) -> None:
    rules = V61.benchmarks["llama3.1-8b"]
    single = rules.model_copy(update={"required": ["SingleStream"], "one_of": ()})
    assert single.missing({"Offline"}) == ["SingleStream"]
    log = tree / RESULTS / "Offline/performance/run_1/mlperf_log_detail.txt"
    log.write_text(
        log.read_text().replace(
            '"key": "effective_scenario", "value": "Offline"',
            '"key": "effective_scenario", "value": "SingleStream"',
        )
    )
    assert any("Offline was inferred from SingleStream logs" in text for text in sentences(tree))


def test_a_folder_that_is_no_submission_is_an_error_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no submission: it has no <division>/<submitter>"):
        check_tree(tmp_path, V61)


def test_the_open_division_needs_no_gate_no_scenario_and_no_compliance(tree: Path) -> None:
    (tree / "closed").rename(tree / "open")
    home = tree / "open/ExampleOrg"
    results = home / "results/Example_server/llama3.1-8b"
    for name in ("Server", "Interactive"):
        shutil.rmtree(results / name)
    shutil.rmtree(results / "Offline/TEST06")
    text = (results / "Offline/accuracy/accuracy.txt").read_text()
    (results / "Offline/accuracy/accuracy.txt").write_text(text.replace("38.7792", "12.0"))
    system = home / "systems/Example_server.json"
    system.write_text(system.read_text().replace('"closed"', '"open"'))
    shutil.rmtree(tree.with_name(f"tree{ORIGINALS}"))  # kept for the closed tree's paths
    assert sentences(tree) == []
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed


def test_one_submitter_of_many_can_be_looked_at(tree: Path) -> None:
    (tree / "open" / "Another" / "systems").mkdir(parents=True)
    assert check_tree(tree, V61, "ExampleOrg") == []
    assert {finding.where for finding in check_tree(tree, V61, "Another")} == {"open/Another"}


def test_an_unknown_benchmark_is_named(tree: Path) -> None:
    (tree / RESULTS).rename(tree / HOME / "results/Example_server/llama-own")
    assert any(text.startswith("llama-own is no benchmark known here") for text in sentences(tree))


def test_the_checkers_underscored_name_is_understood(tree: Path) -> None:
    (tree / RESULTS).rename(tree / HOME / "results/Example_server/llama3_1-8b")
    shutil.rmtree(tree.with_name(f"tree{ORIGINALS}"))
    assert sentences(tree) == []


def test_an_open_result_may_have_longer_answers(tree: Path, tmp_path: Path) -> None:
    replace_offline(tree, tmp_path / "test", "129 each")
    field(SYSTEM_JSON, "division", "open")(tree)
    (tree / "closed").rename(tree / "open")
    assert not [sentence for sentence in sentences(tree) if "above the limit of 128" in sentence]
