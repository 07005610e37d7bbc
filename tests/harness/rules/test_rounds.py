"""Rounds: which LoadGen serves for which, and that the tables are the official checker's own."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from build_engine.errors import ConfigError, UnknownName
from build_engine.validation import Invalid, validated
from harness.rules import rounds
from harness.rules.gates import ROUGE
from harness.rules.rounds import Round, load_round, loadgen_problem, round_names
from harness.rules.workload import load_workload

REPOSITORY = os.environ.get("MLPERF_INFERENCE_REPO")


def test_the_rounds_that_are_shipped() -> None:
    assert round_names() == ["v5.1", "v6.0", "v6.1"]
    assert load_round(rounds.DEFAULT).name == "v6.1"


@pytest.mark.parametrize(
    ("version", "fitting"),
    [
        ("5.0.21", None),
        ("5.0.22", "v5.1"),
        ("5.1.2", "v5.1"),
        ("6.0.4", "v5.1"),
        ("6.0.5", "v6.0"),
        ("6.0.15", "v6.0"),
        ("6.0.16", "v6.1"),
        ("6.0.17", "v6.1"),
        ("6.0.15.post1", "v6.0"),
        ("6.0.16rc1", "v6.1"),
        ("6.0.17+g1a2b3c4", "v6.1"),
        ("6.1", "v6.1"),
        ("unknown", None),
    ],
)
def test_each_loadgen_fits_at_most_one_round(version: str, fitting: str | None) -> None:
    fits = [name for name in round_names() if load_round(name).loadgen.fits(version)]
    assert fits == ([fitting] if fitting else [])


def test_a_loadgen_of_another_round_is_refused_with_the_wheel_to_install() -> None:
    assert loadgen_problem(load_round("v6.0"), "6.0.17") == (
        "LoadGen 6.0.17 does not fit round v6.0, which needs 6.0.5 to 6.0.15: its seeds are those "
        "of v6.1, and the submission checker rejects them; install the right one (pip install "
        "--force-reinstall 'mlcommons-loadgen==6.0.15'), or choose another --round."
    )
    assert loadgen_problem(load_round("v6.1"), "6.0.17") is None


def test_a_loadgen_of_no_round_and_a_missing_one() -> None:
    unknown = loadgen_problem(load_round("v6.1"), "4.1.30")
    assert unknown is not None
    assert "those of no round known here" in unknown
    missing = loadgen_problem(load_round("v6.1"), None)
    assert missing is not None
    assert missing.endswith("pip install --force-reinstall 'mlcommons-loadgen==6.0.17'")


def test_an_unknown_round_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"Unknown round `v6\.2`.*Valid: v5\.1, v6\.0, v6\.1"):
        load_round("v6.2")


def test_a_round_file_is_checked(tmp_path: Path) -> None:
    import configs

    text = (Path(configs.__file__).parent / "rounds" / "v6.1.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("wheel: 6.0.17", "wheel: 6.0.4"))
    with pytest.raises(ConfigError, match=r"`loadgen\.wheel` is outside of the round's own range"):
        load_round(str(path))
    path.write_text(text.replace("compliance: [TEST06]", "compliance: [TEST01]"))
    with pytest.raises(ConfigError, match=r"`compliance_tests` lacks TEST01 of llama3\.1-8b"):
        load_round(str(path))


@pytest.mark.parametrize("name", ["llama3.1-8b", "llama3.1-8b-edge"])
@pytest.mark.parametrize("round_name", ["v5.1", "v6.0", "v6.1"])
def test_workload_and_round_agree(name: str, round_name: str) -> None:
    chosen = load_round(round_name)
    workload, benchmark = load_workload(name, chosen), chosen.benchmark(name)
    assert workload.num_samples == benchmark.num_samples
    assert workload.max_new_tokens == benchmark.max_new_tokens
    assert workload.min_duration_s == chosen.min_duration_s
    assert workload.accuracy == benchmark.accuracy
    for scenario, result in benchmark.scenarios.items():
        rules = workload.scenarios[scenario]
        assert rules.official
        assert (rules.metric, rules.ttft_ms, rules.tpot_ms) == (
            result.metric,
            result.ttft_ms,
            result.tpot_ms,
        )


def test_what_a_closed_result_lacks_is_said_in_words() -> None:
    benchmark = load_round("v6.1").benchmark("llama3.1-8b")
    assert benchmark.missing({"Offline", "Interactive"}) == []
    assert benchmark.missing({"Server"}) == ["Offline"]
    assert benchmark.missing({"Offline"}) == ["Server or Interactive"]
    assert load_round("v6.1").benchmark("llama3.1-8b-edge").missing(set()) == [
        "SingleStream",
        "Offline",
    ]


@pytest.fixture(scope="module")
def constants() -> ModuleType:
    """The official checker's tables, from the checkout that MLPERF_INFERENCE_REPO names."""
    if REPOSITORY is None:
        pytest.skip("MLPERF_INFERENCE_REPO names no checkout of mlcommons/inference")
    path = Path(REPOSITORY) / "tools/submission/submission_checker/constants.py"
    spec = importlib.util.spec_from_file_location("checker_constants", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["v5.1", "v6.0", "v6.1"])
class TestOfficialTables:
    """Ours against the checker's constants.py."""

    def test_seeds(self, constants: ModuleType, name: str) -> None:
        ours = load_round(name).loadgen.seeds
        assert constants.MODEL_CONFIG[name]["seeds"] == {
            "qsl_rng_seed": ours.qsl,
            "sample_index_rng_seed": ours.sample_index,
            "schedule_rng_seed": ours.schedule,
        }

    def test_reserved_names(self, constants: ModuleType, name: str) -> None:
        official, chosen = constants.MODEL_CONFIG[name], load_round(name)
        taken = {*official["models"], *official["model_mapping"]}
        assert taken - set(chosen.benchmarks) == set(chosen.reserved_names)

    def test_gates_and_counts(self, constants: ModuleType, name: str) -> None:
        official = constants.MODEL_CONFIG[name]
        for benchmark, rules in load_round(name).benchmarks.items():
            gates = rules.accuracy.gates
            lows = [part for m in (*ROUGE, "gen_len") for part in (m.upper(), gates[m][0])]
            assert official["accuracy-target"][benchmark] == tuple(lows)
            high = ("GEN_LEN", gates["gen_len"][1])
            assert official["accuracy-upper-limit"][benchmark] == high
            assert official["dataset-size"][benchmark] == rules.num_samples
            assert official["performance-sample-count"][benchmark] == rules.num_samples
            assert benchmark not in official["accuracy-sample-count"]  # so the dataset's size holds

    def test_scenarios(self, constants: ModuleType, name: str) -> None:
        official = constants.MODEL_CONFIG[name]
        for benchmark, rules in load_round(name).benchmarks.items():
            for system_type in rules.system_types:
                kind = system_type.replace(",", "-")
                assert official[f"required-scenarios-{kind}"][benchmark] == rules.required
                optional = official[f"optional-scenarios-{kind}"].get(benchmark, [])
                assert set(optional) == set(rules.one_of)

    def test_compliance(self, constants: ModuleType, name: str) -> None:
        official = constants.MODEL_CONFIG[name]
        tests = [key for key in official if key.startswith("models_TEST")]
        for benchmark, rules in load_round(name).benchmarks.items():
            needed = {key.removeprefix("models_") for key in tests if benchmark in official[key]}
            assert needed == set(rules.compliance)

    def test_metrics_and_limits(self, constants: ModuleType, name: str) -> None:
        overwrite = constants.RESULT_FIELD_BENCHMARK_OVERWRITE[name]
        limits = constants.LLM_LATENCY_LIMITS
        for benchmark, rules in load_round(name).benchmarks.items():
            for scenario, result in rules.scenarios.items():
                read_as = scenario.loadgen_name
                assert overwrite[benchmark][read_as] == result.metric
                if result.ttft_ms is not None and result.tpot_ms is not None:
                    assert limits[benchmark][scenario] == {
                        "ttft": result.ttft_ms * 1e6,
                        "tpot": result.tpot_ms * 1e6,
                    }

    def test_layout(self, constants: ModuleType, name: str) -> None:
        layout = load_round(name).layout
        top = "{division}/{submitter}/"
        assert constants.SRC_PATH[name] == top + layout.source
        assert constants.COMPLIANCE_PATH[name] == f"{top}{layout.compliance}/"
        log = f"{top}{layout.results}/performance/run_1/mlperf_log_detail.txt"
        assert constants.PERFORMANCE_LOG_PATH[name] == log
        assert (
            constants.ACCURACY_RESULT_PATH[name] == f"{top}{layout.results}/accuracy/accuracy.txt"
        )
        theirs = constants.MEASUREMENTS_PATH[name].replace("{file}", "{system}.json")
        assert theirs == top + layout.measurements

    def test_fields_and_limits(self, constants: ModuleType, name: str) -> None:
        ours: Round = load_round(name)
        meaningful: list[Any] = constants.SYSTEM_DESC_MEANINGFUL_RESPONSE_REQUIRED_FIELDS
        assert list(ours.system_fields) == constants.SYSTEM_DESC_REQUIRED_FIELDS
        assert {k for k, v in ours.system_fields.items() if v} == set(meaningful)
        assert ours.measurements_fields == constants.SYSTEM_IMP_REQUIRED_FILES
        assert ours.statuses == constants.VALID_AVAILABILITIES
        assert ours.max_accuracy_log_bytes == constants.MAX_ACCURACY_LOG_SIZE
        assert ours.min_duration_s * 1000 == constants.TEST_DURATION_MS


def test_the_audit_settings_are_the_official_ones() -> None:
    if REPOSITORY is None:
        pytest.skip("MLPERF_INFERENCE_REPO names no checkout of mlcommons/inference")
    lines = (Path(REPOSITORY) / "compliance/TEST06/audit.config").read_text().splitlines()
    official = dict(line.split(" = ") for line in lines if line.startswith("*.*."))
    for name in round_names():
        ours = load_round(name).compliance_tests["TEST06"]
        assert {f"*.*.{key}": str(value) for key, value in ours.items()} == official


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"results": "../{system}"}, "layout.results"),
        ({"results": "a/../{system}"}, "a path has no .."),
        ({"compliance": "/tmp/{system}"}, "layout.compliance"),
        ({"source": "{system.__class__}"}, "layout.source"),
        ({"source": "{other}"}, "{system}, {benchmark} and {scenario} at most"),
    ],
)
def test_a_layout_stays_below_its_submitter(change: dict[str, str], told: str) -> None:
    content = load_round("v6.1").model_dump(mode="json")
    content["layout"].update(change)
    with pytest.raises(Invalid, match=re.escape(told)):
        validated(Round, content)


@pytest.mark.parametrize("name", ["../TEST06", "..", "", "a/b"])
def test_a_compliance_test_is_a_word(name: str) -> None:
    content = load_round("v6.1").model_dump(mode="json")
    content["compliance_tests"][name] = {}
    with pytest.raises(Invalid, match="compliance_tests"):
        validated(Round, content)
