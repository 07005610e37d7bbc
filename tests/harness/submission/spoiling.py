"""Ways to spoil a submission tree, and what our check says of one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.rules.rounds import load_round
from harness.submission.check import check_tree

REPOSITORY = os.environ.get("MLPERF_INFERENCE_REPO")
V61 = load_round("v6.1")
HOME = "closed/ExampleOrg"
RESULTS = f"{HOME}/results/Example_server/llama3.1-8b"
SYSTEM_JSON = f"{HOME}/systems/Example_server.json"
MEASUREMENTS = f"{RESULTS}/Offline/measurements.json"
ACCURACY_TXT = f"{RESULTS}/Offline/accuracy/accuracy.txt"
VERIFIED = f"{RESULTS}/Server/TEST06/verify_accuracy.txt"


def sentences(tree: Path) -> list[str]:
    return [finding.sentence for finding in check_tree(tree, V61)]


def remove(path: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        target = tree / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return act


def write(path: str, text: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        (tree / path).write_text(text)

    return act


def rewrite(path: str, old: str, new: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        text = (tree / path).read_text()
        assert old in text
        (tree / path).write_text(text.replace(old, new))

    return act


def field(path: str, key: str, value: Any) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        content = json.loads((tree / path).read_text())
        content[key] = value
        (tree / path).write_text(json.dumps(content))

    return act


def drop(path: str, key: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        content = json.loads((tree / path).read_text())
        del content[key]
        (tree / path).write_text(json.dumps(content))

    return act


def move(old: str, new: str) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        (tree / old).rename(tree / new)

    return act
