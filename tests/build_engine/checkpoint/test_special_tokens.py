"""Prompt ids and texts are those of transformers, whatever the files of a tokenizer say twice.

`tests/reference/record_tokenizers.py` recorded what AutoTokenizer makes of the same folders.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from build_engine.checkpoint import chat
from build_engine.checkpoint.chat import ChatTemplate, TemplateFault
from build_engine.checkpoint.special_tokens import Tokens
from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import CheckpointError
from tests.build_engine.checkpoint.tokenizer_folders import (
    CHAT_TEMPLATES,
    CONFIGS,
    TEXTS,
    write_folder,
)

RECORD = json.loads((Path(__file__).parents[2] / "reference" / "tokenizers.json").read_text())
ENCODED: list[dict[str, Any]] = RECORD["encoded"]
CHATS: list[dict[str, Any]] = RECORD["chats"]
_LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def named(case: dict[str, Any]) -> str:
    return f"{case['config']}{', marked' * case['marked']}{', BOS' * case['bos']}"


def rewrite(folder: Path, **changes: Any) -> Tokenizer:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return Tokenizer.load(folder)


def test_the_record_is_of_every_folder_here() -> None:
    assert {case["config"] for case in ENCODED} == set(CONFIGS)
    assert {case["template"] for case in CHATS} == set(CHAT_TEMPLATES)
    assert len({json.dumps(case["ids"]) for case in ENCODED}) > 6  # they do differ


@pytest.mark.parametrize("case", ENCODED, ids=named)
def test_ids_and_texts_are_those_of_transformers(tmp_path: Path, case: dict[str, Any]) -> None:
    folder = write_folder(tmp_path, case["config"], marked=case["marked"], bos=case["bos"])
    tokenizer = Tokenizer.load(folder)
    ids = [found.tolist() for found in tokenizer.encode_batch(TEXTS)]
    assert ids == case["ids"]
    assert tokenizer.decode_batch(ids) == case["texts"]


@pytest.mark.parametrize("case", ENCODED[::3], ids=named)
def test_an_engine_has_the_same_tokenizer_in_plain_files(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    (tmp_path / "checkpoint").mkdir()
    folder = write_folder(tmp_path / "checkpoint", case["config"], marked=case["marked"])
    before = Tokenizer.load(folder)
    engine = tmp_path / "engine"
    engine.mkdir()
    before.save(engine)
    after = Tokenizer.load(engine)
    ids = [found.tolist() for found in before.encode_batch(TEXTS)]
    assert [found.tolist() for found in after.encode_batch(TEXTS)] == ids
    assert after.decode_batch(ids) == before.decode_batch(ids)
    assert (after.bos_id, after.notes) == (before.bos_id, before.notes)
    assert after.digest == before.digest
    config = json.loads((engine / "tokenizer_config.json").read_text())
    assert all(isinstance(value, str) for name, value in config.items() if name.endswith("_token"))


@pytest.mark.parametrize("case", CHATS, ids=lambda case: case["template"])
def test_chat_prompts_are_those_of_transformers(tmp_path: Path, case: dict[str, Any]) -> None:
    tokenizer = Tokenizer.load(write_folder(tmp_path, "llama", chat=case["template"]))
    text = tokenizer.chat().prompt(case["said"])
    assert text == case["text"]
    [ids] = tokenizer.encode_batch([text], add_special_tokens=False)
    assert ids.tolist() == case["ids"]


def test_a_template_of_its_own_file_comes_first_and_an_engine_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    folder = write_folder(tmp_path / "checkpoint", "llama", chat="json")
    (folder / "chat_template.jinja").write_text("user: {{ messages[0].content }}")
    assert Tokenizer.load(folder).chat().prompt("w5") == "user: w5"
    (tmp_path / "engine").mkdir()
    Tokenizer.load(folder).save(tmp_path / "engine")
    assert Tokenizer.load(tmp_path / "engine").chat().prompt("w5") == "user: w5"


def test_of_several_templates_the_default_counts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "fast")
    said = "{{ messages[0].content }}"
    templates = [
        {"name": "tool_use", "template": f"t {said}"},
        {"name": "default", "template": f"d {said}"},
    ]
    assert rewrite(folder, chat_template=templates).chat().prompt("x") == "d x"
    with pytest.raises(CheckpointError, match="has no chat template; leave chat_template out"):
        rewrite(folder, chat_template=templates[:1]).chat()


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for %}", "cannot be used"),
        ("{{ raise_exception('no users') }}", "no users"),
        ("{{ messages[7].content.x.y }}", "cannot be used"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ 1 // 0 }}", "cannot be used"),
        ("{{ messages | tojson(7, 8, 9, 10, 11) }}", "cannot be used"),
        ("{{ '%d' | format('x') }}", "cannot be used"),
        ("{% for i in range(99999999) %}a{% endfor %}", "Range too big"),
        ("{% for i in range(99999) %}aaaaaaaaaaaaaaaaaaaaaaa{% endfor %}", "more than 1,048,576"),
        (_LOOPS, "one prompt takes it more than 5 s"),
        ("{% set x = ('a' * 10 ** 10)|length %}", "more memory than there is"),
        ("{% set x = 'a'|center(10 ** 10) %}", "more memory than there is"),
        ("{{ '\\ud800' }}", "half of a surrogate pair"),
        ("{% set x = '%9999999999d'|format(1) %}", "cannot be used"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_sentence(template: str, told: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^The chat template of x .*{told}"):
        ChatTemplate(template, Tokens({}, ()), Path("x")).prompt("hello")


@pytest.mark.parametrize(
    ("config", "changes", "told"),
    [
        ("llama", {"add_bos_token": False}, r"adds the ids \[1\].*add_bos_token.*\[\]: prompts"),
        ("fast", {"add_bos_token": False}, r"add_bos_token false.*PreTrainedTokenizerFast ignores"),
        ("fast", {"add_eos_token": True}, r"add_eos_token true, and tokenizer.json adds"),
        ("llama", {"add_prefix_space": True}, "add_prefix_space, for which transformers"),
        ("fast", {"tokenizer_class": "BertTokenizer"}, "tokenizer_class BertTokenizer is not"),
        ("fast", {"eos_token": "w9"}, r"ends a text with w9 \(9\), and an answer ends at 2"),
    ],
)
def test_files_that_disagree_are_told(
    tmp_path: Path, config: str, changes: dict[str, Any], told: str
) -> None:
    folder = write_folder(tmp_path, config)
    assert Tokenizer.load(folder).notes == ()
    [note] = rewrite(folder, **changes).notes
    assert re.search(told, note)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bos_token": 7}, "bos_token is 7, and must be a text, or a token object"),
        ({"bos_token": {"lstrip": True}}, "bos_token is .*must be a text, or a token object"),
        ({"eos_token": {"content": "</s>", "lstrip": "no"}}, "eos_token is .*token object"),
        ({"add_bos_token": "true"}, 'add_bos_token is "true", and must be true or false'),
        ({"clean_up_tokenization_spaces": 1}, "clean_up_tokenization_spaces is 1"),
        ({"additional_special_tokens": "<x>"}, "additional_special_tokens is .*a list of tokens"),
        ({"additional_special_tokens": [3]}, "must be a text, or a token object"),
        ({"extra_special_tokens": 5}, "extra_special_tokens is 5, and must be an object or a list"),
        ({"added_tokens_decoder": [1]}, "added_tokens_decoder is .*an object of tokens by their"),
        ({"added_tokens_decoder": {"x": "<s>"}}, "added_tokens_decoder is"),
        ({"tokenizer_class": 5}, "tokenizer_class is 5, and must be the name of a class"),
        ({"chat_template": 5}, "chat_template is 5, and must be a text"),
        ({"bos_token": None}, "adds a bos_token to each text .* names none"),
    ],
)
def test_a_value_of_another_type_is_named(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    folder = write_folder(tmp_path, "llama")
    with pytest.raises(CheckpointError, match=told):
        rewrite(folder, **changes)


def test_a_list_of_added_tokens_without_ids_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "llama")
    (folder / "added_tokens.json").write_text('{"<x>": "96"}')
    with pytest.raises(CheckpointError, match=r"added_tokens\.json must name the id of each"):
        Tokenizer.load(folder)


def test_a_byte_level_tokenizer_has_the_prefix_space_of_the_settings(tmp_path: Path) -> None:
    """As `PreTrainedTokenizerFast.__init__` sets it."""
    folder = write_folder(tmp_path, "fast")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["\u0120w5"] = 96
    content["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": False,
    }
    path.write_text(json.dumps(content))
    assert Tokenizer.load(folder).encode_batch(["w5"])[0].tolist() == [1, 5]
    spaced = rewrite(folder, add_prefix_space=True)
    assert spaced.encode_batch(["w5"])[0].tolist() == [1, 96]
    (tmp_path / "engine").mkdir()
    spaced.save(tmp_path / "engine")
    assert Tokenizer.load(tmp_path / "engine").encode_batch(["w5"])[0].tolist() == [1, 96]


def test_a_note_goes_with_the_engine_once(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    folder = write_folder(tmp_path / "checkpoint", "fast")
    before = rewrite(folder, eos_token="w9", add_bos_token=False)
    (tmp_path / "engine").mkdir()
    before.save(tmp_path / "engine")
    after = Tokenizer.load(tmp_path / "engine")
    assert len(before.notes) == 2
    assert (after.notes, after.digest) == (before.notes, before.digest)


def test_a_session_renders_one_conversation_after_the_other() -> None:
    text = (
        "{% for m in messages %}{% if m.role == 'system' and loop.index0 %}"
        "{{ raise_exception('system comes first') }}{% endif %}"
        "{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    session = ChatTemplate(text, Tokens({}, ()), Path("x")).session()
    user, system = {"role": "user", "content": "Hi"}, {"role": "system", "content": "Be \u00fc."}
    try:
        for _ in range(3):
            assert session.prompt([system, user]) == "system: Be \u00fc.\nuser: Hi\n"
        with pytest.raises(TemplateFault) as caught:
            session.prompt([user, system])
        assert caught.value.reason == "system comes first"
        assert session.prompt([user]) == "user: Hi\n"
        assert session._process is not None
        session._process.kill()
        session._process.wait()
        with pytest.raises(TemplateFault, match="exit code -9"):
            session.prompt([user])
        assert session.prompt([user]) == "user: Hi\n"
    finally:
        session.close()
        session.close()
    assert session._process is None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of templates that bounds a prompt sooner."""
    worker = "from build_engine.checkpoint import chat_worker"
    program = f"{worker}; chat_worker.MAX_CPU_S = 1.0; chat_worker.main()"
    monkeypatch.setattr(chat, "_COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr(chat, "MAX_CPU_S", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_power_that_python_computes_in_one_step_is_ended() -> None:
    with pytest.raises(CheckpointError, match="one prompt takes it more than 1 s"):
        ChatTemplate("{% set x = 9 ** (9 ** 9) %}", Tokens({}, ()), Path("x"))


@pytest.mark.usefixtures("impatient")
def test_a_session_bounds_the_time_of_a_prompt() -> None:
    text = "{{ messages[0].content }}{% if messages|length > 1 %}" + _LOOPS + "{% endif %}"
    session = ChatTemplate(text, Tokens({}, ()), Path("x")).session()
    said = {"role": "user", "content": "Hi"}
    try:
        with pytest.raises(TemplateFault, match="more than 1 s"):
            session.prompt([said, said])
        assert session.prompt([said]) == "Hi"
    finally:
        session.close()
