"""Prompts are what a workload asks for: in the checkpoint's chat template where it says so, shown
as they are sent, and refused where a model cannot hold them.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from build_engine.checkpoint.files import CHAT_TEMPLATE_FILE, TOKENIZER_CONFIG_FILE
from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import CheckpointError, DatasetError, UsageError
from build_engine.store.limits import EngineLimits
from harness.dataset.preparation import prepare
from harness.dataset.prepared import Dataset
from harness.dataset.shown import shown_prompt
from harness.dataset.sources.source import Source
from harness.progress import NullProgress
from harness.rules.workload import Workload, load_workload
from newsbrief import CHECKPOINT
from tests.build_engine.checkpoint.tokenizer_folders import write_folder

ROWS = [
    {"article": "The river rose.", "highlights": "River rises."},
    {"article": "A very long report. " * 9, "highlights": "Long."},
    {"article": "Zürich opened a bridge.", "highlights": "Bridge opens."},
]
LINE = json.dumps(ROWS[0])


class Told(NullProgress):
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def workload() -> Workload:
    return load_workload("newsbrief")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "news.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    return path


def _prepare(workload: Workload, file: Path, root: Path) -> Dataset:
    return prepare(workload, Source.find(str(file)), CHECKPOINT, root, None, NullProgress())


def _limits(max_input_len: int) -> EngineLimits:
    return EngineLimits(max_input_len=max_input_len, max_seq_len=max_input_len + 128)


def test_what_the_positions_do_not_hold_is_told_before_any_engine_is_asked_for(
    workload: Workload, rows: Path, tmp_path: Path
) -> None:
    prepared = _prepare(workload, rows, tmp_path)
    longest = prepared.max_prompt_len
    told = rf"{longest + 20} positions leave 20 for an answer of 128; .*max_new_tokens=20\."
    with pytest.raises(DatasetError, match=told):
        prepared.check_fits(workload, _limits(4096), longest + 20)
    shorter = workload.model_copy(update={"max_new_tokens": 20})
    prepared.check_fits(shorter, _limits(longest), longest + 20)
    with pytest.raises(DatasetError, match=r"leave 0 for an answer of 128; shorten that article\."):
        prepared.check_fits(workload, _limits(4096), longest)


def test_notes_on_the_tokenizer_are_kept_and_told_each_time(
    workload: Workload, rows: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    write_folder(model, "llama without BOS")
    told = Told()
    for _ in range(2):
        prepared = prepare(workload, Source.find(str(rows)), model, tmp_path, None, told)
    [note] = prepared.record.tokenizer_notes
    assert "add_bos_token" in note
    assert told.notes == [f"Note: {note}."] * 2


def test_a_chat_template_makes_other_prompts(
    workload: Workload, rows: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    write_folder(model, "llama", chat="llama 3")
    source = Source.find(str(rows))
    chat = workload.model_copy(update={"chat_template": True})
    plain = prepare(workload, source, model, tmp_path, None, NullProgress())
    asked = prepare(chat, source, model, tmp_path, None, NullProgress())
    assert plain.digest != asked.digest
    shown = shown_prompt(asked, chat, source, model, 2)
    assert shown.text.startswith("<s><|user|> 26 Jul 2024 ")
    assert shown.text.endswith("<|assistant|> ")
    assert list(shown.ids) == asked.prompts()[1].tolist()
    assert shown.ids[:2] != (1, 1)  # one BOS, the template's own
    write_folder(model, "llama")
    with pytest.raises(CheckpointError, match="has no chat template"):
        prepare(chat, source, model, tmp_path, None, NullProgress())


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("Summarise the news.", "it leaves out what the user says"),
        ("{{ 'a' * 10 ** 15 }}", "it asks for more memory than there is"),
    ],
)
def test_a_chat_template_that_gives_no_prompt(
    workload: Workload, rows: Path, tmp_path: Path, template: str, told: str
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    write_folder(model, "llama")
    (model / CHAT_TEMPLATE_FILE).write_text(template, encoding="utf-8")
    chat = workload.model_copy(update={"chat_template": True})
    with pytest.raises(CheckpointError, match=rf"cannot be used \({told}\)"):
        prepare(chat, Source.find(str(rows)), model, tmp_path, None, NullProgress())


def test_two_chat_templates_that_differ_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path, "llama", chat="llama 3")
    stated = json.loads((tmp_path / TOKENIZER_CONFIG_FILE).read_text(encoding="utf-8"))
    alone = tmp_path / CHAT_TEMPLATE_FILE
    alone.write_text(f"{stated['chat_template']}\n", encoding="utf-8")
    assert Tokenizer.load(tmp_path).notes == ()
    alone.write_text("You: {{ messages[0].content }}", encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    [note] = tokenizer.notes
    assert "takes chat_template.jinja, as transformers does" in note
    assert tokenizer.chat().prompt("Hi") == "You: Hi"


def test_a_prompt_is_shown_as_it_is_sent(workload: Workload, rows: Path, tmp_path: Path) -> None:
    source = Source.find(str(rows))
    prepared = _prepare(workload, rows, tmp_path)
    sample = list(source.samples(None))[1]
    shown = shown_prompt(prepared, workload, source, CHECKPOINT, 2)
    assert shown.text == workload.prompt(sample.article)
    assert list(shown.ids) == prepared.prompts()[1].tolist()
    for number in (0, 4):
        with pytest.raises(UsageError, match=rf"--show is {number}, and the dataset has 3 prompts"):
            shown_prompt(prepared, workload, source, CHECKPOINT, number)
    changed = workload.model_copy(update={"prompt_template": "{article} again"})
    with pytest.raises(DatasetError, match="has other ids for prompt 2 than its text"):
        shown_prompt(prepared, changed, source, CHECKPOINT, 2)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", b'article,highlights\n"a","b"\n', "is a table of commas or tabs; write its"),
        ("a.tsv", b"article\thighlights\na\tb\n", "is a table of commas or tabs"),
        ("a.jsonl", gzip.compress(LINE.encode(), mtime=0), r"is packed \(gzip\); unpack it"),
        ("a.jsonl.xz", b"\xfd7zXZ\x00rest", r"is packed \(xz\)"),
        ("a.zip", b"PK\x03\x04rest", r"is packed \(zip\)"),
        ("a.parquet", b"PAR1rest", "is a Parquet file; write its rows as JSON lines"),
        ("a.jsonl", LINE.encode("utf-16"), "is UTF-16 text; write it as UTF-8: iconv"),
        ("a.jsonl", LINE.encode("utf-16-le"), "is UTF-16 text"),
        ("a.jsonl", f"[{LINE}]".encode(), r"is a JSON list; .* jq -c '\.\[\]' a\.jsonl"),
        ("a.jsonl", f"\ufeff [{LINE}]".encode(), "is a JSON list"),
        ("a.jsonl", json.dumps(ROWS[0], indent=2).encode(), "is JSON over several lines"),
        ("a.json", f"[{LINE}]".encode(), "has an `article` and no `input`, so these are articles"),
        ("a.json", f"{LINE}\n{LINE}\n".encode(), r"begins with an object: .* name it \.jsonl"),
        ("a.jsonl", b"just words\n", "line 1 is not valid JSON"),
        ("a.jsonl", f"{LINE}\nand, so\n".encode(), "line 2 is not valid JSON"),
    ],
)
def test_a_file_of_another_kind_is_told_what_it_is(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=told):
        list(Source.find(str(tmp_path / name)).samples(None))
