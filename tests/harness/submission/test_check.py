"""Our check: each defect of a tree that nothing else is wrong with is named, one sentence each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from build_engine.errors import UsageError
from harness.rules.rounds import load_round
from harness.submission.check import check_tree
from harness.submission.official import run_official
from harness.submission.tree import ORIGINALS, Result, Submitter
from tests.harness.submission.spoiling import (
    ACCURACY_TXT,
    HOME,
    MEASUREMENTS,
    REPOSITORY,
    RESULTS,
    SYSTEM_JSON,
    V61,
    VERIFIED,
    drop,
    field,
    move,
    remove,
    rewrite,
    sentences,
    write,
)


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
        "performance test, summary agrees: measured Completed samples per second: 21.9.0 in",
        False,
    ),
    (
        borrowed_accuracy,
        "accuracy test, scenario: measured Offline, the limit is Server; run",
        False,
    ),
    (without_server, "the required scenario Server or Interactive is missing", True),
    (remove(f"{RESULTS}/Offline"), "the required scenario Offline is missing", True),
    (
        move(f"{RESULTS}/Interactive", f"{RESULTS}/SingleStream"),
        "llama3.1-8b has no scenario SingleStream in round v6.1.",
        True,
    ),
    (
        rewrite(ACCURACY_TXT, "'rouge1': '38.7792'", "'rouge1': '38.39'"),
        "must be at least 38.391408: missed by",
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
        "rouge1 is 12.5, must be at least 38.391408: missed by 67.4 %.",
        True,
    ),
    (
        rewrite(ACCURACY_TXT, "8167644", "8984409"),
        "gen_len is 8984409, must be at least 7350879.6 and at most 8984408.4: missed by "
        "6.68e-06 %.",
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
        "TTFT limit: measured a test under 2000 ms, the limit is 500 ms, that of Interactive; run ",
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


def test_the_rules_are_data(tree: Path) -> None:
    shorter = V61.model_copy(update={"min_duration_s": 601.0, "max_accuracy_log_bytes": 100})
    found = [finding.sentence for finding in check_tree(tree, shorter)]
    assert any(
        "requested duration: measured 600 s, the limit is 601 s" in sentence for sentence in found
    )
    assert any("is not truncated to 100" in sentence for sentence in found)


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
