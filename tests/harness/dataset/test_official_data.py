"""Only the benchmark's own whole set carries its name; everything else says what it is instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.config import apply_overrides
from build_engine.errors import ConfigError, DatasetError
from harness.dataset.preparation import prepare
from harness.dataset.prepared import Dataset
from harness.dataset.record import Difference, OfficialIds
from harness.dataset.sources.sample import Purpose
from harness.dataset.sources.source import Source
from harness.progress import NullProgress
from harness.rules.workload import Workload, load_workload
from newsbrief import CHECKPOINT

WHOLE = 60  # samples of the whole set of `workload`, which has the benchmark's rules otherwise
Record = dict[str, Any]
Change = Callable[[list[Record]], object]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """A whole set, with the ids of the bundled tokenizer."""
    workload = load_workload("llama3.1-8b")
    articles = [f"Article {number}." for number in range(WHOLE)]
    prompts = Tokenizer.load(CHECKPOINT).encode_batch([workload.prompt(text) for text in articles])
    return [
        {"instruction": {}, "input": text, "tok_input": ids.tolist(), "output": "Summary."}
        for text, ids in zip(articles, prompts, strict=True)
    ]


@pytest.fixture
def workload() -> Workload:
    full = load_workload("llama3.1-8b")
    assert full.data is not None
    changes = {
        "calibration_samples": 20,
        "split_samples": {"validation": WHOLE, "test": 30},
        "vocab_size": Tokenizer.load(CHECKPOINT).vocab_size,
    }
    data = full.data.model_copy(update=changes)
    return full.model_copy(update={"num_samples": WHOLE, "data": data})


def _write(folder: Path, records: list[Record], name: str = "cnn_eval.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def _prepare(
    workload: Workload,
    path: Path | str,
    root: Path,
    count: int | None = None,
    purpose: Purpose = "evaluation",
) -> Dataset:
    source = Source.find(str(path), workload)
    return prepare(workload, source, CHECKPOINT, root, count, NullProgress(), purpose)


def test_the_whole_official_file_carries_the_name(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    prepared = _prepare(workload, _write(tmp_path, records), tmp_path)
    assert prepared.benchmark == "llama3.1-8b"
    assert prepared.shortfalls == []
    assert prepared.num_samples == WHOLE
    assert prepared.record.official_ids == OfficialIds(compared=WHOLE, different=0)
    (note,) = prepared.record.notes
    assert "and that of the official set 2,540: make sure" in note
    again = _prepare(workload, tmp_path / "cnn_eval.json", tmp_path)
    assert again == prepared


def test_a_set_with_the_official_longest_prompt_needs_no_note(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    longest = max(len(record["tok_input"]) for record in records)
    known = workload.model_copy(update={"max_input_tokens": longest})
    prepared = _prepare(known, _write(tmp_path, records), tmp_path)
    assert (prepared.benchmark, prepared.record.notes) == ("llama3.1-8b", ())


def test_a_trial_does_not(workload: Workload, records: list[Record], tmp_path: Path) -> None:
    prepared = _prepare(workload, _write(tmp_path, records), tmp_path, count=59)
    assert prepared.benchmark is None
    assert prepared.shortfalls == ["it has 59 of 60 samples"]


def test_a_count_is_a_trial_though_it_is_that_of_the_whole_set(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    """Else the first samples of a larger set, the other benchmark's for example, would pass."""
    path = _write(tmp_path, [*records, {**records[0], "input": "One more."}])
    prepared = _prepare(workload, path, tmp_path, count=WHOLE)
    assert prepared.benchmark is None
    assert prepared.shortfalls == ["it is the first 60 samples, by --count"]


def test_another_tokenizer_costs_the_name(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    assert workload.data is not None
    data = workload.data.model_copy(update={"vocab_size": 128_256})
    other = workload.model_copy(update={"data": data})
    prepared = _prepare(other, _write(tmp_path, records), tmp_path)
    (lacking,) = prepared.shortfalls
    assert lacking.endswith("ids, and that of the benchmark's model 128,256")


def test_prompts_that_differ_are_counted_shown_and_cost_the_name(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    changed = [dict(record) for record in records]
    for number in range(7, 17):
        changed[number]["tok_input"] = [*records[number]["tok_input"], 9]
    changed[20]["tok_input"] = [1, *records[20]["tok_input"][1:]]
    prepared = _prepare(workload, _write(tmp_path, changed), tmp_path)
    assert prepared.record.official_ids == OfficialIds(compared=WHOLE, different=11)
    first = prepared.record.first_differences
    assert first[0] == Difference(sample=7, token=len(records[7]["tok_input"]))
    assert len(first) == 5
    assert prepared.benchmark is None
    assert prepared.shortfalls == ["11 prompts differ from the file's own `tok_input`"]


def test_articles_of_one_s_own_never_carry_it(workload: Workload, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    rows = (json.dumps({"article": f"News {i}.", "highlights": "N."}) for i in range(WHOLE))
    path.write_text("\n".join(rows), encoding="utf-8")
    prepared = _prepare(workload, path, tmp_path)
    assert prepared.num_samples == WHOLE
    assert prepared.benchmark is None
    assert prepared.shortfalls == [
        "its articles are not from cnn_eval.json or abisee/cnn_dailymail"
    ]
    bundled = _prepare(workload, "newsbrief", tmp_path, count=3)
    assert bundled.benchmark is None


def test_a_few_articles_cycled_to_the_full_count_do_not_pass(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    cycled = [records[number % 9] for number in range(WHOLE)]
    prepared = _prepare(workload, _write(tmp_path, cycled), tmp_path)
    assert prepared.benchmark is None
    assert prepared.shortfalls == ["only 9 of its articles are distinct"]


def test_a_prompt_without_bos_costs_the_name(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    tokenizer = json.loads((CHECKPOINT / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["post_processor"] = None
    (model / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (model / "generation_config.json").write_text('{"bos_token_id": 0}', encoding="utf-8")
    source = Source.find(str(_write(tmp_path, records)), workload)
    prepared = prepare(workload, source, model, tmp_path, 10, NullProgress())
    assert "10 prompts do not begin with exactly one BOS token" in prepared.shortfalls


@pytest.mark.parametrize(
    ("name", "num_records", "told"),
    [
        ("llama3.1-8b", 13_367, r"has 13,367 records and the evaluation set .* has 13,368; get"),
        ("llama3.1-8b", 5000, r"that of llama3.1-8b-edge has that many \(--workload llama3.1-8b-e"),
        ("llama3.1-8b", 1000, r"cnn_dailymail_calibration.json has that many.*build --calibration"),
        ("llama3.1-8b", 11_490, r"while the test split of cnn_dailymail has that many"),
        ("llama3.1-8b-edge", 13_368, r"has 5,000, while that of llama3.1-8b has that many"),
    ],
)
def test_another_number_of_records_is_refused_and_guessed_at(
    tmp_path: Path, name: str, num_records: int, told: str
) -> None:
    record = {"input": "A.", "tok_input": [0, 1], "output": "B."}
    path = _write(tmp_path, [record] * num_records)
    with pytest.raises(DatasetError, match=told):
        _prepare(load_workload(name), path, tmp_path)


def test_the_calibration_set(workload: Workload, records: list[Record], tmp_path: Path) -> None:
    path = _write(tmp_path, records[:20], "cnn_dailymail_calibration.json")
    prepared = _prepare(workload, path, tmp_path, purpose="calibration")
    assert (prepared.num_samples, prepared.benchmark) == (20, None)
    assert prepared.shortfalls == []
    trial = _prepare(workload, path, tmp_path, count=19, purpose="calibration")
    assert trial.shortfalls == ["it has 19 of 20 samples"]
    news = _prepare(workload, "newsbrief", tmp_path, count=20, purpose="calibration")
    assert news.shortfalls[0] == "its articles are not from cnn_dailymail_calibration.json"
    with pytest.raises(DatasetError, match=r"calibration set .* has 20, .*leave out --calib"):
        _prepare(workload, _write(tmp_path, records), tmp_path, purpose="calibration")


def test_the_shipped_benchmarks_say_where_their_data_comes_from() -> None:
    full, edge = (load_workload(name).data for name in ("llama3.1-8b", "llama3.1-8b-edge"))
    assert full is not None
    assert edge is not None
    assert (full.file, edge.file) == ("cnn_eval.json", "sample_cnn_eval_5000.json")
    assert (full.uri, edge.uri) == ("llama3-1-8b-cnn-eval", "llama3-1-8b-sample-cnn-eval-5000")
    assert (full.shuffle_seed, edge.shuffle_seed) == (None, 42)
    for data in (full, edge):
        assert (data.hub, data.config, data.split) == (
            "abisee/cnn_dailymail",
            "3.0.0",
            "validation",
        )
        assert data.split_samples == {"train": 287_113, "validation": 13_368, "test": 11_490}
        assert data.calibration_samples == 1000
    assert load_workload("newsbrief").data is None


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("data.split=dev", "`split` must be one of `split_samples`"),
        ("data.hub=cnn_dailymail", "`data.hub` must"),
        ("num_samples=13369", "`num_samples` is above the size of `data.split`"),
        ("data.files=x", "`data.files` is not a key"),
    ],
)
def test_a_workload_with_data_that_cannot_be_is_refused(assignment: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        apply_overrides(load_workload("llama3.1-8b"), [assignment])


def _without(key: str) -> Change:
    return lambda records: records[3].pop(key)


def _with(key: str, value: Any) -> Change:
    return lambda records: records[3].update({key: value})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without("input"), r"record 3 has no text under `input`"),
        (_without("output"), r"record 3 has no text under `output`"),
        (_without("tok_input"), r"record 3 has no `tok_input`; get the official file again"),
        (_with("tok_input", "1 2 3"), r"record 3: `tok_input` is not a list of token ids"),
        (_with("tok_input", []), r"record 3: `tok_input` is not a list of token ids"),
        (_with("tok_input", [1, -2]), r"record 3: `tok_input` is not a list of token ids"),
        (_with("tok_input", [1, 2**31]), r"record 3: `tok_input` has an id above"),
        (_with("tok_input", [7] * 2541), r"record 3: the prompt has 2,541 tokens, .* has 2,540;"),
        (_with("input", "word " * 3000), r"record 3: the prompt has [\d,]+ tokens.*truncates no"),
        (_with("id", ["x"]), r"record 3: `id` is neither text nor"),
        (lambda records: [r.update(id="x") for r in records[:5]], r"record 1 has the id x of"),
    ],
)
def test_a_record_that_is_wrong_is_named(
    workload: Workload, records: list[Record], tmp_path: Path, change: Change, told: str
) -> None:
    few = [dict(record) for record in records[:10]]
    change(few)
    with pytest.raises(DatasetError, match=f"cnn_eval.json {told}"):
        _prepare(workload, _write(tmp_path, few), tmp_path, count=10)


def test_the_longest_prompt_may_be_exactly_as_long(
    workload: Workload, records: list[Record], tmp_path: Path
) -> None:
    few = [dict(record) for record in records[:10]]
    few[3]["tok_input"] = [7] * 2540
    assert _prepare(workload, _write(tmp_path, few), tmp_path, count=10).num_samples == 10


def test_ids_that_repeat_in_a_jsonl_are_named(workload: Workload, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    row = {"article": "A.", "highlights": "B."}
    lines = [{**row, "id": 5}, row, row, {**row, "id": "5"}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"own.jsonl line 4 has the id 5 of own.jsonl line 1"):
        _prepare(workload, path, tmp_path)
