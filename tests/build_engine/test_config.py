"""Configuration files are refused with the file, the key and the remedy, or taken as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError

from build_engine.config import Frozen, Name, apply_overrides, config_names, load_config
from build_engine.errors import ConfigError, UnknownName
from build_engine.recipe import Recipe
from build_engine.target import load_target


class Inner(Frozen):
    rate: float = 1.0
    mode: Literal["fast", "slow"] = "fast"


class Outer(Frozen):
    title: str
    count: int = 1
    flag: bool = False
    names: tuple[str, ...] = ()
    inner: Inner | None = None
    parts: dict[Literal["left", "right"], Inner] = Field(default_factory=dict)


def load(folder: Path, text: str) -> Outer:
    file = folder / "outer.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config("recipes", str(file), Outer)


def test_a_file_is_loaded_with_its_nested_sections(tmp_path: Path) -> None:
    outer = load(tmp_path, "title: x\nnames: [a, b]\ninner: {rate: 2}\nparts: {left: {}}\n")

    assert outer == Outer(
        title="x", names=("a", "b"), inner=Inner(rate=2.0), parts={"left": Inner()}
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: x\ncuont: 2\n", ["`cuont` is not a key", "mean `count`", "Valid: count, flag"]),
        ("title: x\ninner: {rat: 2}\n", ["`inner.rat`", "mean `rate`", "Valid: mode, rate"]),
        ("title: x\nparts: {left: {rat: 2}}\n", ["`parts.left.rat`", "Valid: mode, rate"]),
        ("title: x\nparts: {lefd: {}}\n", ["`parts.lefd`", "left, right", "mean `left`"]),
        ("title: x\ninner: {mode: fest}\n", ["`inner.mode`", "fast, slow", "mean `fast`"]),
        ("titel: x\n", ["`titel` is not a key", "mean `title`", "1 more"]),
        ("count: 2\n", ["`title` is missing"]),
        ("title: x\ncount: '2'\n", ["`count` must be a valid integer, not `2`"]),
        ("title: x\ncount: 2.5\n", ["`count` must"]),
        ('title: x\ncount: "2\\n3"\n', ["`count` must be a valid integer, not `2 3`"]),
        ("title: x\nflag: 1\n", ["`flag` must be a valid boolean, not `1`"]),
        ("title: 7\n", ["`title` must be a valid string, not `7`"]),
        ("title: x\nnames: a\n", ["`names` must be a valid array"]),
        ("title: x\ninner: {rate: .nan}\n", ["`inner.rate` must be a finite number"]),
        ("title: x\ninner: {rate: true}\n", ["`inner.rate` must be a valid number"]),
        ("title: 2026-01-01\n", ["quote dates"]),
        ("title: 2026-13-01\n", ["not valid YAML", "quote it"]),
        ("title: x\ncount: 1\ntitle: y\n", ["line 3", "`title` appears twice"]),
        ("title: x\ninner: {rate: 1, rate: 2}\n", ["line 2", "`rate` appears twice"]),
        ("title: [x\ncount: 1\n", ["line 2"]),
        ("title: !!python/name:os.system ''\n", ["line 1", "tag"]),
        ("names: &n [*n]\n", ["line 1", "an alias"]),
        ("- title\n", ["must hold `key: value` lines"]),
        ("", ["must hold `key: value` lines"]),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)

    message = str(caught.value)
    assert message.startswith(str(tmp_path / "outer.yaml"))
    for word in words:
        assert word in message
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read .*check the path"):
        load_config("recipes", str(tmp_path / "absent.yaml"), Outer)
    (tmp_path / "latin.yml").write_bytes(b"title: caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config("recipes", str(tmp_path / "latin.yml"), Outer)


def test_an_unknown_name_lists_the_valid_ones_and_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        load_config("recipes", "int8_sk", Recipe)

    assert "Unknown recipe `int8_sk`. Did you mean `int8_sq`?" in str(caught.value)
    assert all(name in str(caught.value) for name in config_names("recipes"))


def test_a_name_cannot_leave_the_folder_of_its_kind() -> None:
    with pytest.raises(UnknownName):
        load_config("recipes", "../targets/a30", Recipe)


def test_names_are_sorted_and_a_wrong_kind_is_our_own_mistake() -> None:
    assert config_names("targets") == sorted(config_names("targets"))
    with pytest.raises(AssertionError):
        config_names("target")


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Inner().rate = 2.0


def test_overrides_reach_nested_optional_and_list_values() -> None:
    outer = Outer(title="x", parts={"left": Inner()})

    changed = apply_overrides(
        outer, ["count=3", "inner.rate=4", "parts.left.mode=slow", "names=[a, b]", "title=a=b"]
    )

    assert changed == Outer(
        title="a=b",
        count=3,
        names=("a", "b"),
        inner=Inner(rate=4.0),
        parts={"left": Inner(mode="slow")},
    )
    assert outer == Outer(title="x", parts={"left": Inner()})


def test_the_last_override_wins_and_none_changes_nothing() -> None:
    outer = Outer(title="x")

    assert apply_overrides(outer, ["count=2", "count=3"]).count == 3
    assert apply_overrides(outer, []) == outer


def test_shipped_configurations_survive_the_round_trip_of_overrides() -> None:
    target = load_target("a30")

    assert apply_overrides(target, []) == target


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("count", ["--set count", "key=value"]),
        ("=3", ["--set =3", "key=value"]),
        ("inner..rate=3", ["key=value"]),
        ("cuont=3", ["`cuont` is not a key", "mean `count`"]),
        ("outer.count=3", ["`outer` is not a key"]),
        ("inner.rat=3", ["`inner.rat` is not a key", "mean `rate`"]),
        ("title.x=3", ["`title` is one value"]),
        ("count=three", ["`count` must be a valid integer, not `three`"]),
        ("names=[a", ["--set names=[a", "line 1"]),
    ],
)
def test_a_wrong_override_is_refused_as_a_file_would_be(assignment: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(Outer(title="x"), [assignment])

    for word in words:
        assert word in str(caught.value)


class Asked(Frozen):
    template: str
    name: Name = "x"
    title: str | None = None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (r"Article:\n{article}\tend\\n", "Article:\n{article}\tend\\n"),
        ("Summarise: {article}", "Summarise: {article}"),
        ("{article} # short", "{article} # short"),
        ("12", "12"),
        ("null", "null"),
        (r'"a\n\"b\""', 'a\n"b"'),
        ("'it''s'", "it's"),
        (r"C:\dir", r"C:\dir"),
    ],
)
def test_text_is_taken_as_it_stands(said: str, meant: str) -> None:
    assert apply_overrides(Asked(template=""), [f"template={said}"]).template == meant


def test_what_may_be_more_than_text_is_yaml() -> None:
    assert apply_overrides(Asked(template="", title="y"), ["title=null"]).title is None
    assert apply_overrides(Asked(template=""), ["name=abc"]).name == "abc"
