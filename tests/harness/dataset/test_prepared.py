"""A dataset is prepared whole or not at all, found again by content, and refused with its place."""

from __future__ import annotations

import errno
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.errors import CheckpointError, DatasetError, OutputError, UsageError
from build_engine.store.limits import EngineLimits
from harness.dataset import preparation
from harness.dataset import prepared as dataset_module
from harness.dataset.description import describe
from harness.dataset.preparation import prepare
from harness.dataset.prepared import Dataset
from harness.dataset.prompts import load_prompts, prompt_lengths, save_prompts
from harness.dataset.record import DatasetRecord, OfficialIds, PromptTokens
from harness.dataset.sources import jsonl
from harness.dataset.sources.sample import Sample
from harness.dataset.sources.source import Source
from harness.progress import NullProgress
from harness.rules.workload import Workload, load_workload
from newsbrief import CHECKPOINT

POSITIONS = 8192
ROWS = [
    {"article": "The river rose.", "highlights": "River rises."},
    {"article": "A very long report. " * 9, "highlights": "Long."},
    {"article": "Zürich opened a bridge.", "highlights": "Bridge opens."},
]


@pytest.fixture
def workload() -> Workload:
    return load_workload("newsbrief")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return _jsonl(tmp_path / "news.jsonl", *map(json.dumps, ROWS))


def _jsonl(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _official(path: Path, *records: Any) -> Path:
    path.write_text(json.dumps(list(records)), encoding="utf-8")
    return path


def _prepare(workload: Workload, file: Path | str, root: Path, count: int | None = None) -> Dataset:
    return prepare(workload, Source.find(str(file)), CHECKPOINT, root, count, NullProgress())


def _samples(file: Path) -> list[Sample]:
    return list(Source.find(str(file)).samples(None))


def _fail(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("must not be called")


def test_jsonl_becomes_prompts_and_references(
    workload: Workload, rows: Path, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    prepared = _prepare(workload, rows, tmp_path)
    tokenizer = Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))
    texts = [tokenizer.decode(ids.tolist()) for ids in prepared.prompts()]
    assert [text.strip() for text in texts] == [
        f"Article:\n{row['article']}\n\nSummary:" for row in ROWS
    ]
    assert prepared.references() == [row["highlights"] for row in ROWS]
    lengths = [len(ids) for ids in prepared.prompts()]
    assert prepared.num_samples == 3
    assert prepared.max_prompt_len == max(lengths)
    assert prepared.record.prompt_tokens == PromptTokens(
        min=min(lengths), median=sorted(lengths)[1], max=max(lengths), total=sum(lengths)
    )
    assert prepared.record.official_ids == OfficialIds(compared=0, different=0)


def test_blank_lines_and_a_byte_order_mark_are_no_samples(tmp_path: Path) -> None:
    file = _jsonl(
        tmp_path / "a.jsonl", "\ufeff" + json.dumps(ROWS[0]), "", "  ", json.dumps(ROWS[2])
    )
    assert [sample.reference for sample in _samples(file)] == ["River rises.", "Bridge opens."]


def test_the_official_ids_are_compared(workload: Workload, rows: Path, tmp_path: Path) -> None:
    ours = [ids.tolist() for ids in _prepare(workload, rows, tmp_path).prompts()]
    records = [
        {"input": row["article"], "output": row["highlights"], "tok_input": ids}
        for row, ids in zip(ROWS, ours, strict=True)
    ]
    records[1]["tok_input"] = [*ours[1], 5]
    del records[2]["tok_input"]
    official = _prepare(workload, _official(tmp_path / "cnn_eval.json", *records), tmp_path)
    assert official.record.official_ids == OfficialIds(compared=2, different=1)
    assert [ids.tolist() for ids in official.prompts()] == ours


def test_the_same_content_has_the_same_digest_wherever_it_lies(
    workload: Workload, rows: Path, tmp_path: Path
) -> None:
    first = _prepare(workload, rows, tmp_path / "one")
    copy = _jsonl(tmp_path / "copy.jsonl", *map(json.dumps, ROWS))
    assert _prepare(workload, copy, tmp_path / "two").digest == first.digest
    shorter = _prepare(workload, rows, tmp_path / "one", count=2)
    assert shorter.digest != first.digest
    assert shorter.num_samples == 2


def test_the_bundled_articles(workload: Workload, tmp_path: Path) -> None:
    import newsbrief

    prepared = _prepare(workload, "newsbrief", tmp_path, count=3)
    articles = newsbrief.articles("validation", 3)
    assert prepared.references() == [article.highlights for article in articles]
    with pytest.raises(DatasetError, match=r"has no end; .* --count"):
        _prepare(workload, "newsbrief", tmp_path)


def test_a_prepared_one_is_found_without_tokenising(
    workload: Workload, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _prepare(workload, rows, tmp_path)
    monkeypatch.setattr(preparation, "_tokenise", _fail)
    assert _prepare(workload, rows, tmp_path) == first


@pytest.mark.parametrize("change", ["template", "content", "count", "tokenizer", "bos"])
def test_anything_that_decides_the_prompts_makes_another_one(
    workload: Workload, rows: Path, tmp_path: Path, change: str
) -> None:
    first = _prepare(workload, rows, tmp_path)
    model, count = CHECKPOINT, None
    if change == "template":
        workload = workload.model_copy(update={"prompt_template": "Say it again: {article}"})
    elif change == "content":
        _jsonl(rows, json.dumps(ROWS[0]))
    elif change == "count":
        count = 3
    else:
        model = tmp_path / "model"
        model.mkdir()
        for name in ("tokenizer.json", "generation_config.json", "config.json"):
            shutil.copy(CHECKPOINT / name, model)
        if change == "tokenizer":
            (model / "tokenizer.json").write_text((CHECKPOINT / "tokenizer.json").read_text() + " ")
        else:
            (model / "generation_config.json").write_text('{"bos_token_id": 5}')
    source = Source.find(str(rows))
    second = prepare(workload, source, model, tmp_path, count, NullProgress())
    assert second.folder != first.folder
    assert first.folder.is_dir()


@pytest.mark.parametrize(
    "loss",
    ["dataset.json", "references.json", "prompt_ids.npy", "cut", "other", "older", "edited"],
)
def test_a_damaged_one_is_made_again(
    workload: Workload, rows: Path, tmp_path: Path, loss: str
) -> None:
    first = _prepare(workload, rows, tmp_path)
    if loss == "cut":  # as a power cut may leave it
        (first.folder / "dataset.json").write_text("")
    elif loss == "other":
        (first.folder / "dataset.json").write_text("[]")
    elif loss == "older":
        older = first.record.to_json() | {"schema_version": DatasetRecord.SCHEMA - 1}
        (first.folder / "dataset.json").write_text(json.dumps(older))
    elif loss == "edited":
        ids = np.load(first.folder / "prompt_ids.npy")
        np.save(first.folder / "prompt_ids.npy", np.full_like(ids, 7))
    else:
        (first.folder / loss).unlink()
    again = _prepare(workload, rows, tmp_path)
    assert again == first
    assert len(again.prompts()) == len(again.references()) == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{broken", "line 2 is not valid JSON"),
        ("[" * 100_000, "line 2 is not valid JSON"),
        ('{"article": "a"}', "line 2 has no text under `highlights`"),
        ('{"article": " ", "highlights": "h"}', "line 2 has no text under `article`"),
        ('{"article": 3, "highlights": "h"}', "line 2 has no text under `article`"),
        ('["article"]', "line 2 has no text under `article`"),
        (
            r'{"article": "\ud800", "highlights": "h"}',
            "line 2 holds half of a surr.* in `article`",
        ),
        (
            r'{"article": "a", "highlights": "h", "id": "\ud800"}',
            "line 2 holds half of a surr.* in `id`",
        ),
        ('{"article": "a", "article": "b", "highlights": "h"}', "line 2 says `article` twice"),
        ('{"article": "a", "highlights": NaN}', "line 2 holds NaN, which is not JSON"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    file = _jsonl(tmp_path / "news.jsonl", json.dumps(ROWS[0]), line)
    with pytest.raises(DatasetError, match=f"news.jsonl {told}"):
        _samples(file)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "news.jsonl"
    file.write_bytes(json.dumps(ROWS[0]).encode() + b"\n" + b'{"article": "\xff\xfe"}\n')
    with pytest.raises(DatasetError, match=r"news.jsonl line 2 is not UTF-8 text"):
        _samples(file)


def test_a_line_that_never_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_BYTES", 1 << 20)
    row = json.dumps({"article": "a" * ((1 << 20) - 40), "highlights": "h"})
    file = _jsonl(tmp_path / "news.jsonl", row, "x" * (1 << 21))
    with pytest.raises(DatasetError, match=r"news.jsonl line 2 has more than 1 MiB; fix the file"):
        _samples(file)


def test_a_file_whose_name_is_no_text(workload: Workload, rows: Path, tmp_path: Path) -> None:
    file = rows.rename(tmp_path / os.fsdecode(b"caf\xe9.jsonl"))
    made = _prepare(workload, file, tmp_path)
    assert made.record.source == "caf\ufffd.jsonl"
    assert _prepare(workload, file, tmp_path) == made


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"input": "a"}, "record 1 has no text under `output`"),
        ("text", "record 1 has no text under `input`"),
        ({"input": "a", "output": "b", "tok_input": "1 2"}, "record 1: `tok_input` is not a list"),
        ({"input": "a", "output": "b", "tok_input": [1, "2"]}, "record 1: `tok_input` is not a"),
        ({"input": "a", "output": "b", "tok_input": [True]}, "record 1: `tok_input` is not a list"),
    ],
)
def test_a_broken_official_record_is_named(tmp_path: Path, record: Any, told: str) -> None:
    good = {"input": "a", "output": "b", "tok_input": [1, 2]}
    file = _official(tmp_path / "cnn_eval.json", good, record)
    with pytest.raises(DatasetError, match=f"cnn_eval.json {told}"):
        _samples(file)


@pytest.mark.parametrize(
    ("text", "told"), [("{", "is not valid JSON"), ('{"input": "a"}', "must be a JSON list")]
)
def test_an_official_file_that_is_no_list(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "cnn_eval.json"
    file.write_text(text)
    with pytest.raises(DatasetError, match=told):
        _samples(file)


@pytest.mark.parametrize("text", ["nowhere.jsonl", "~nobody-has-this-name/news.jsonl", "."])
def test_no_such_file(text: str) -> None:
    with pytest.raises(DatasetError, match=r"There is no dataset file .* `newsbrief`"):
        Source.find(text)


def test_empty_and_too_few(workload: Workload, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"empty.jsonl is empty"):
        _prepare(workload, _jsonl(tmp_path / "empty.jsonl"), tmp_path)
    with pytest.raises(DatasetError, match=r"has 3 samples, fewer than --count 4"):
        _prepare(workload, rows, tmp_path, count=4)


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_is_refused(
    workload: Workload, rows: Path, tmp_path: Path, count: int
) -> None:
    with pytest.raises(UsageError, match=f"--count is {count}; give 1 or more"):
        _prepare(workload, rows, tmp_path, count=count)


def test_a_model_without_tokenizer(workload: Workload, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer.json"):
        prepare(workload, Source.find(str(rows)), tmp_path, tmp_path, None, NullProgress())


def test_prompts_that_are_too_long_are_counted(
    workload: Workload, rows: Path, tmp_path: Path
) -> None:
    prepared = _prepare(workload, rows, tmp_path)
    lengths = sorted(prompt_lengths(prepared.folder))
    prepared.check_fits(workload, _limits(lengths[-1]), POSITIONS)
    told = (
        rf"1 of 3 .* the engine, {lengths[1]} tokens .*has {lengths[2]}.*max-input-len {lengths[2]}"
        " --max-new-tokens 128"
    )
    with pytest.raises(DatasetError, match=told):
        prepared.check_fits(workload, _limits(lengths[1]), POSITIONS)
    tight = workload.model_copy(update={"max_input_tokens": 5})
    with pytest.raises(
        DatasetError, match=r"3 of 3 .* workload `newsbrief`, 5 tokens .*max_input_tokens="
    ):
        prepared.check_fits(tight, _limits(4096), POSITIONS)
    long = workload.model_copy(update={"max_new_tokens": 200})
    room = (
        rf"leaves 128 of the engine's .* answer of 200; .*-len {lengths[-1]} --max-new-tokens 200"
    )
    with pytest.raises(DatasetError, match=room):
        prepared.check_fits(long, _limits(lengths[-1]), POSITIONS)


def _limits(max_input_len: int) -> EngineLimits:
    return EngineLimits(max_input_len=max_input_len, max_seq_len=max_input_len + 128)


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_preparation_that_fails_leaves_nothing(
    workload: Workload,
    rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
) -> None:
    def cannot_save(folder: Path, prompts: Any) -> None:
        save_prompts(folder, prompts)
        raise failure

    monkeypatch.setattr(dataset_module, "save_prompts", cannot_save)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        _prepare(workload, rows, tmp_path / "cache")
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []
    if expected is OutputError:
        assert "No space left" in str(caught.value)
        assert "ENGINEBENCH_HOME" in str(caught.value)


def test_a_cache_that_is_a_file(workload: Workload, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(OutputError, match=r"Cannot write to .*cache .*ENGINEBENCH_HOME"):
        _prepare(workload, rows, tmp_path / "cache")


def test_two_at_once_make_one(
    workload: Workload, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Barrier

    barrier = Barrier(2)
    real = describe

    def both_here(*arguments: Any, **options: Any) -> DatasetRecord:
        barrier.wait(10)  # neither has published yet
        return real(*arguments, **options)

    monkeypatch.setattr(preparation, "describe", both_here)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: _prepare(workload, rows, tmp_path / "cache"), range(2)))
    assert both[0] == both[1]
    assert list((tmp_path / "cache" / "datasets").iterdir()) == [both[0].folder]
    assert len(both[0].prompts()) == 3


def test_others_may_read_what_was_prepared(workload: Workload, rows: Path, tmp_path: Path) -> None:
    made = _prepare(workload, rows, tmp_path / "root")
    plain = tmp_path / "plain"
    plain.mkdir()
    assert made.folder.stat().st_mode == plain.stat().st_mode


def test_progress_reaches_the_end(workload: Workload, rows: Path, tmp_path: Path) -> None:
    class Told(NullProgress):
        def __init__(self) -> None:
            self.steps: list[tuple[int, int | None]] = []

        def update(self, done: int, total: int | None, figures: object = None) -> None:
            self.steps.append((done, total))

    told = Told()
    prepare(workload, Source.find(str(rows)), CHECKPOINT, tmp_path, None, told)
    assert told.steps[-1] == (3, 3)


def test_prompts_come_back_as_they_were(tmp_path: Path) -> None:
    prompts = [np.array(ids, np.int32) for ids in ([7], [1, 2, 3], [9, 8])]
    save_prompts(tmp_path, prompts)
    back = load_prompts(tmp_path)
    assert [ids.tolist() for ids in back] == [[7], [1, 2, 3], [9, 8]]
    assert {ids.dtype.name for ids in back} == {"int32"}
    assert [ids.tolist() for ids in load_prompts(tmp_path, 2)] == [[7], [1, 2, 3]]
    assert prompt_lengths(tmp_path) == [1, 3, 2]
