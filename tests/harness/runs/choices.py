"""A choice that is good, and how a test changes one thing of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import (
    EnginebenchError,
)
from build_engine.store.spec import EngineSpec
from harness.progress import NullProgress
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.request import RunRequest
from tests.build_engine.checkpoints import write_checkpoint


@dataclass(frozen=True)
class Choice:
    """An engine and how it is run."""

    engine: EngineChoice
    run: RunChoice

    @property
    def output(self) -> Path:
        assert self.run.output is not None
        return self.run.output

    def request(self) -> RunRequest:
        return self.run.request(self.engine, NullProgress())


def good_choice(folder: Path) -> Choice:
    """A tiny checkpoint and two articles in `folder`."""
    news = write_news(folder / "news.jsonl", ["Rain fell.", "The sun shone all day."])
    return Choice(
        EngineChoice(model=str(write_checkpoint(folder / "tiny")), recipe="int8_wo"),
        RunChoice(scenario="Offline", dataset=str(news), output=folder / "results" / "first"),
    )


def write_news(path: Path, articles: list[str]) -> Path:
    rows = [json.dumps({"article": article, "highlights": "h"}) for article in articles]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def with_engine(choice: Choice, **changes: Any) -> Choice:
    return replace(choice, engine=replace(choice.engine, **changes))


def with_run(choice: Choice, **changes: Any) -> Choice:
    return replace(choice, run=replace(choice.run, **changes))


def refused(
    choice: Choice, built: list[EngineSpec], kind: type[EnginebenchError], told: str
) -> None:
    with pytest.raises(kind, match=told):
        choice.request()
    assert built == []
    assert not (choice.output.is_dir() and any(choice.output.iterdir()))
