"""Workloads carry MLPerf's rules to the letter, and a workload of our own cannot pose as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import configs
from build_engine.config import apply_overrides
from build_engine.errors import ConfigError, UnknownName, UsageError
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import is_shipped, load_workload, workload_names

MLPERF_PROMPT = (
    "Summarize the following news article in 128 tokens. Please output the summary only, "
    "without any other text.\n\nArticle:\nNEWS\n\nSummary:"
)


@pytest.mark.parametrize("name", ["llama3.1-8b", "llama3.1-8b-edge"])
def test_the_mlperf_prompt_and_limits_are_exact(name: str) -> None:
    workload = load_workload(name)

    assert workload.prompt("NEWS") == MLPERF_PROMPT
    assert (workload.min_new_tokens, workload.max_new_tokens) == (1, 128)
    assert workload.max_input_tokens == 2540
    commit = "0e9e39f249a16976918f6564b8830bc894c89659"
    assert workload.revision_of("meta-llama/Llama-3.1-8B-Instruct") == commit
    assert workload.revision_of("someone/else") is None
    assert workload.min_duration_s == 600
    assert workload.equal_issue
    assert workload.benchmark == name


# Thresholds as the submission checker computes them (mlperf-rules.md, section 1.6).
@pytest.mark.parametrize(
    ("name", "lowest", "gen_len"),
    [
        ("llama3.1-8b", [38.391408, 15.748425, 24.250743, 35.435070], (7350879.6, 8984408.4)),
        ("llama3.1-8b-edge", [38.6694, 15.953553, 24.391125, 35.76276], (2746001.7, 3356224.3)),
    ],
)
def test_accuracy_gates_are_those_of_the_checker(
    name: str, lowest: list[float], gen_len: tuple[float, float]
) -> None:
    accuracy = load_workload(name).accuracy
    assert accuracy is not None

    gates = accuracy.gates

    assert list(gates) == ["rouge1", "rouge2", "rougeL", "rougeLsum", "gen_len"]
    for (minimum, maximum), expected in zip(list(gates.values())[:4], lowest, strict=True):
        assert minimum == pytest.approx(expected, abs=1e-9)
        assert maximum is None
    assert gates["gen_len"] == pytest.approx(gen_len, abs=1e-6)


@pytest.mark.parametrize(
    ("workload", "name", "limits", "metric"),
    [
        ("llama3.1-8b", "Offline", (None, None), "result_tokens_per_second"),
        ("llama3.1-8b", "Server", (2000, 100), "result_completed_tokens_per_second"),
        ("llama3.1-8b", "Interactive", (500, 30), "result_completed_tokens_per_second"),
        (
            "llama3.1-8b-edge",
            "SingleStream",
            (None, None),
            "result_90.00_percentile_latency_ns",
        ),
        ("llama3.1-8b-edge", "Offline", (None, None), "result_tokens_per_second"),
        ("newsbrief", "Server", (2000, 100), "result_completed_tokens_per_second"),
        ("newsbrief", "Interactive", (500, 30), "result_completed_tokens_per_second"),
    ],
)
def test_scenario_rules(
    workload: str,
    name: str,
    limits: tuple[float | None, float | None],
    metric: str,
) -> None:
    rules = load_workload(workload).rules_of(Scenario(name))

    assert (rules.ttft_ms, rules.tpot_ms) == limits
    assert rules.is_constrained == (limits != (None, None))
    assert rules.metric == metric


def test_official_scenarios_are_those_that_the_checker_accepts() -> None:
    official = {
        name: {s for s, rules in load_workload(name).scenarios.items() if rules.official}
        for name in workload_names()
    }

    assert official == {
        "llama3.1-8b": {"Offline", "Server", "Interactive"},
        "llama3.1-8b-edge": {"SingleStream", "Offline"},
        "newsbrief": set(),
    }


def test_loadgen_counts_and_names() -> None:
    datacenter, edge = load_workload("llama3.1-8b"), load_workload("llama3.1-8b-edge")

    assert (datacenter.loadgen_model, datacenter.interactive_model) == (
        "llama3_1-8b",
        "llama3_1-8b-interactive",
    )
    assert (edge.loadgen_model, edge.interactive_model) == ("llama3_1-8b-edge", None)
    for workload, samples in ((datacenter, 13368), (edge, 5000)):
        assert workload.num_samples == samples
    # A minimum that LoadGen rounds up to a further whole pass over the samples (issue #2284).
    assert edge.scenarios[Scenario.SINGLE_STREAM].min_query_count is None


def test_a_workload_follows_the_round_that_it_is_loaded_for() -> None:
    newest = load_round("v6.1")
    rules = newest.benchmarks["llama3.1-8b"]
    limits = rules.scenarios[Scenario.SERVER].model_copy(update={"ttft_ms": 1500.0})
    changed = rules.model_copy(
        update={
            "num_samples": 9000,
            "max_new_tokens": 64,
            "scenarios": {**rules.scenarios, Scenario.SERVER: limits},
        }
    )
    later = newest.model_copy(
        update={"min_duration_s": 700.0, "benchmarks": {"llama3.1-8b": changed}}
    )
    workload = load_workload("llama3.1-8b", later)
    assert (workload.num_samples, workload.max_new_tokens, workload.min_duration_s) == (
        9000,
        64,
        700.0,
    )
    assert workload.rules_of(Scenario.SERVER).ttft_ms == 1500.0
    assert (is_shipped(workload, later), is_shipped(workload, newest)) == (True, False)
    assert is_shipped(load_workload("llama3.1-8b"), newest)
    with pytest.raises(ConfigError) as caught:
        load_workload("llama3.1-8b-edge", later)
    assert str(caught.value) == (
        "Workload llama3.1-8b-edge is benchmark llama3.1-8b-edge, which round v6.1 does not have; "
        "choose another --round, or a benchmark of this one: llama3.1-8b."
    )


@pytest.mark.parametrize("name", ["llama3.1-8b", "llama3.1-8b-edge"])
def test_a_file_does_not_repeat_what_its_round_says(name: str) -> None:
    said = yaml.safe_load((Path(configs.__file__).parent / f"workloads/{name}.yaml").read_text())
    of_round = {"num_samples", "max_new_tokens", "min_duration_s", "accuracy"}
    assert not of_round & said.keys()
    assert not said.get("scenarios", {}).keys() & load_round(DEFAULT).benchmark(name).scenarios


def test_what_a_file_says_itself_stands(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{name: mine, title: Mine, benchmark: llama3.1-8b, like: llama3.1-8b, num_samples: 20,\n"
        "scenarios: {Server: {min_query_count: 500}}, data: {file: mine.json}, sources: [me],\n"
        "loadgen_model: llama3_1-8b, interactive_model: llama3_1-8b-interactive}"
    )
    mine, official = load_workload(str(path)), load_workload("llama3.1-8b")
    assert (mine.num_samples, mine.max_new_tokens) == (20, 128)
    rules = mine.rules_of(Scenario.SERVER)
    assert (rules.min_query_count, rules.ttft_ms) == (500, 2000)
    assert mine.data is not None
    assert official.data is not None
    assert mine.data == official.data.model_copy(update={"file": "mine.json"})
    assert (mine.model, mine.prompt_template) == (official.model, official.prompt_template)
    assert not is_shipped(mine, load_round(DEFAULT))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: mine, like: llama3.1-8c}", "Unknown workload `llama3.1-8c`. Did you mean"),
        ("{name: mine, like: newsbrief, prompt: x}", "`prompt` is not a key."),
        ("{name: mine, like: newsbrief, benchmark: 5}", "`title` is missing; add it."),
        ("{name: mine, benchmark: llama3.1-8b, scenarios: 5}", "mine.yaml: `"),
    ],
)
def test_a_broken_file_is_named_whatever_it_is_merged_with(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_workload(str(path))
    assert words in str(caught.value)


def test_newsbrief_is_the_bundled_demonstration() -> None:
    newsbrief = load_workload("newsbrief")

    assert newsbrief.prompt("NEWS") == "Article:\nNEWS\n\nSummary:\n"
    assert (newsbrief.max_input_tokens, newsbrief.max_new_tokens) == (640, 128)
    assert newsbrief.benchmark is None
    assert not newsbrief.equal_issue
    assert list(newsbrief.scenarios) == ["Offline", "Server", "Interactive", "SingleStream"]
    assert newsbrief.interactive_model == "newsbrief-interactive"


def test_an_article_with_braces_is_taken_as_it_is() -> None:
    assert "{article} {x}" in load_workload("newsbrief").prompt("{article} {x}")


def test_an_unknown_scenario_lists_those_of_the_workload() -> None:
    with pytest.raises(UnknownName) as caught:
        load_workload("llama3.1-8b-edge").rules_of(Scenario.SERVER)

    assert "Unknown scenario of llama3.1-8b-edge `Server`" in str(caught.value)
    assert "Valid: Offline, SingleStream." in str(caught.value)


@pytest.mark.parametrize(
    ("name", "assignment", "words"),
    [
        ("newsbrief", "prompt_template=no placeholder", "must hold {article} once"),
        ("newsbrief", "prompt_template='{article} {article}'", "must hold {article} once"),
        ("newsbrief", "prompt_template='{article} {x}'", "no other braces"),
        ("newsbrief", "min_new_tokens=129", "`min_new_tokens` is above"),
        ("newsbrief", "max_new_tokens=0", "`max_new_tokens` must be greater than 0"),
        ("newsbrief", "interactive_model=null", "`interactive_model` goes with"),
        ("newsbrief", "scenarios.Server.official=true", "`official: false`"),
        ("newsbrief", "scenarios.Server.tpot_ms=null", "given together"),
        (
            "newsbrief",
            "scenarios.Server={metric: result_tokens_per_second, official: false}",
            "fit",
        ),
        ("newsbrief", "scenarios.Server.metric=tokens", "`scenarios.Server.metric` is not one of"),
        ("newsbrief", "scenarios.Servr.metric=result_x", "Did you mean `Server`"),
        ("newsbrief", "scenarios={}", "`scenarios` must have at least 1"),
        ("newsbrief", "loadgen_model=my model", "`loadgen_model` must match"),
        ("newsbrief", "interactive_model=a = b", "`interactive_model` must match"),
        ("llama3.1-8b", "model.revision=main", "`model.revision` must match"),
        ("llama3.1-8b", "accuracy.reference={rouge1: 38}", "`reference` lacks `rouge2`"),
        ("llama3.1-8b", "accuracy.gen_len_low=1.2", "`gen_len_low` is above"),
        ("llama3.1-8b", "benchmark=null", "`official: false`"),
    ],
)
def test_an_inconsistent_workload_is_refused(name: str, assignment: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(load_workload(name), [assignment])

    assert words in str(caught.value)


def test_a_mean_above_the_longest_prompt_is_refused_where_it_is_said(tmp_path: Path) -> None:
    shipped = load_workload("llama3.1-8b")
    both = r"`mean_input_tokens` is 5,000, above `max_input_tokens`, which is 2,540; lower the mean"
    with pytest.raises(ConfigError, match=f"^--set: {both}"):
        shipped.with_settings(["mean_input_tokens=5000"])
    with pytest.raises(ConfigError, match="is 300, above `max_input_tokens`, which is 200"):
        shipped.with_settings(["mean_input_tokens=300", "max_input_tokens=200"])
    longer = shipped.with_settings(["mean_input_tokens=5000", "max_input_tokens=5000"])
    assert longer.lengths is not None and longer.lengths.prompt == 5000
    path = tmp_path / "mine.yaml"
    own = load_workload("newsbrief").model_copy(update={"mean_input_tokens": 641.0})
    path.write_text(own.model_dump_json())
    with pytest.raises(ConfigError, match=r"mine\.yaml: .* is 641, .* which is 640"):
        load_workload(str(path))


def test_a_mean_of_somebody_else_is_cut_at_the_longest_prompt(tmp_path: Path) -> None:
    cut = load_workload("llama3.1-8b").with_settings(["max_input_tokens=100"])
    assert cut.lengths is not None and cut.lengths.prompt == 100
    assert cut.mean_input_tokens == 870.6  # so that a plan can say what was cut


def test_a_model_is_known_by_the_content_of_its_weights() -> None:
    model = load_workload("llama3.1-8b").model
    assert model is not None
    assert model == load_workload("llama3.1-8b-edge").model
    assert len(model.weights) == 4
    assert model.has_weights({f"renamed-{name}": it for name, it in model.weights.items()})
    for name in model.weights:
        assert not model.has_weights(model.weights | {name: "a" * 64})
        assert not model.has_weights({n: it for n, it in model.weights.items() if n != name})
