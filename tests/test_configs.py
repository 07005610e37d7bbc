"""Every file in configs/ is loaded, consistent, cited, and named like its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import configs
from build_engine.checkpoint.known import KnownModel, load_known_model
from build_engine.config import KINDS, config_names
from build_engine.recipe import Recipe, load_recipe
from build_engine.roofline.published import Published, load_published
from build_engine.target import Target, load_target
from harness.rules.rounds import Round, load_round
from harness.rules.workload import Workload, load_workload
from newsbrief import PROMPT_TEMPLATE

LOADERS: dict[str, Callable[[str], Target | Recipe | Workload | Round | KnownModel | Published]] = {
    "targets": load_target,
    "recipes": load_recipe,
    "workloads": load_workload,
    "rounds": load_round,
    "models": load_known_model,
    "published": load_published,
}
FOLDER = Path(configs.__file__).parent
FILES = [(kind, name) for kind in KINDS for name in config_names(kind)]


def test_each_file_lies_in_the_folder_of_a_kind() -> None:
    found = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.y*ml")}

    assert found == {f"{kind}/{name}.yaml" for kind, name in FILES}
    assert {kind for kind, _ in FILES} == set(LOADERS)


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_shipped_file_is_named_like_what_it_holds(kind: str, name: str) -> None:
    assert LOADERS[kind](name).name == name


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_shipped_file_loads_the_same_by_path(kind: str, name: str) -> None:
    assert LOADERS[kind](str(FOLDER / kind / f"{name}.yaml")) == LOADERS[kind](name)


def test_the_bundled_model_is_asked_as_it_was_trained() -> None:
    assert load_workload("newsbrief").prompt_template == PROMPT_TEMPLATE


def test_no_two_targets_claim_the_same_gpu() -> None:
    names = [gpu for target in config_names("targets") for gpu in load_target(target).gpu_names]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [name for name in config_names("targets") if name != "cpu"])
def test_the_figures_of_a_gpu_are_cited(name: str) -> None:
    cited = " ".join(load_target(name).sources)

    for figure in ("sm:", "bandwidth", "peaks", "power", "memory", "ECC", "datasheet"):
        assert figure in cited
