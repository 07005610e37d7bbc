"""Hostile files, each made from a sound one: checkpoints, articles, configurations, records and
submission trees that hurt or fool who trusts them.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.build_engine.checkpoints import (
    TinyLlama,
    random_tensors,
    write_checkpoint,
    write_weights,
)

Make = Callable[[Path], object]
ENDLESS = "/dev/zero"


def edited(name: str, **changes: Any) -> Make:
    """A checkpoint in whose JSON file `name` these keys have other values."""

    def make(folder: Path) -> None:
        file = write_checkpoint(folder) / name
        said = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**said, **changes}))

    return make


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Make:
    """A checkpoint whose tokenizer.json was changed."""

    def make(folder: Path) -> None:
        file = write_checkpoint(folder) / "tokenizer.json"
        said = json.loads(file.read_text())
        change(said)
        file.write_text(json.dumps(said))

    return make


def written(name: str, content: str | bytes) -> Make:
    """A checkpoint in which a file holds something else."""

    def make(folder: Path) -> None:
        data = content.encode() if isinstance(content, str) else content
        (write_checkpoint(folder) / name).write_bytes(data)

    return make


def linked(name: str, target: str | None) -> Make:
    """A checkpoint in which a file leads to a device, or is a pipe."""

    def make(folder: Path) -> None:
        file = write_checkpoint(folder) / name
        file.unlink(missing_ok=True)
        os.mkfifo(file) if target is None else file.symlink_to(target)

    return make


def header(change: Callable[[dict[str, Any]], object]) -> Make:
    """A checkpoint whose safetensors header was changed."""

    def make(folder: Path) -> None:
        file = write_checkpoint(folder) / "model.safetensors"
        data = file.read_bytes()
        size = int.from_bytes(data[:8], "little")
        said = json.loads(data[8 : 8 + size])
        change(said)
        text = json.dumps(said).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])

    return make


def lying_header(folder: Path) -> None:
    """The header claims as much as the format allows, in a sparse file that is as long."""
    file = write_checkpoint(folder) / "model.safetensors"
    with file.open("r+b") as stream:
        stream.write((99_000_000).to_bytes(8, "little"))
        stream.truncate(10**9)


def tensors(change: Callable[[dict[str, Any]], object], dtype: str = "F32") -> Make:
    """A checkpoint with other tensors."""

    def make(folder: Path) -> None:
        spec = TinyLlama()
        found: dict[str, Any] = random_tensors(spec)
        change(found)
        write_weights(write_checkpoint(folder), found, dtype)

    return make


def _put(name: str, value: float) -> Callable[[dict[str, Any]], object]:
    def change(found: dict[str, Any]) -> None:
        found[name][0, 0] = value

    return change


def _add(name: str, *shape: int) -> Callable[[dict[str, Any]], object]:
    return lambda found: found.update({name: np.ones(shape, np.float32)})


def _no_special_token(said: dict[str, Any]) -> None:
    single = [{"SpecialToken": {"id": "<gone>", "type_id": 0}}]
    said["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [],
        "special_tokens": {},
    }


_ENTRY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
_NORM = "model.norm.weight"

REFUSED_CHECKPOINTS: dict[str, Make] = {
    "a billion layers": edited("config.json", num_hidden_layers=10**9),
    "layers of 400 digits": edited("config.json", num_hidden_layers=10**400),
    "a vocabulary of 10^12": edited("config.json", vocab_size=10**12),
    "a billion heads": edited("config.json", num_attention_heads=10**9, head_dim=2),
    "nested without end": written("config.json", "[" * 100_000),
    "a tokenizer nested without end": written("tokenizer.json", '{"a":' * 100_000),
    "a header of 99 MB": lying_header,
    "a shape of 200,000 dimensions": header(
        lambda h: h.update({_NORM: {**h[_NORM], "shape": [64] + [1] * 200_000}})
    ),
    "a shape of 10^18 by 10^18": header(
        lambda h: h.update(x={"dtype": "F32", "shape": [10**18] * 20_000, "data_offsets": [0, 4]})
    ),
    "70,000 tensors": header(lambda h: h.update({f"t{i}": _ENTRY for i in range(70_000)})),
    "config.json is endless": linked("config.json", ENDLESS),
    "weights are endless": linked("model.safetensors", ENDLESS),
    "the tokenizer is endless": linked("tokenizer.json", "/dev/urandom"),
    "config.json is a pipe": linked("config.json", None),
    "weights are a pipe": linked("model.safetensors", None),
    "half a float64": written("model.safetensors", b"\x10" + bytes(7) + b"{}"),
    "UTF-16": written("config.json", '{"a": 1}'.encode("utf-16")),
    "ESC in a key": edited("config.json", model_type="\x1b[2Jllama\u202e"),
}
"""Each must be refused when it is built."""

REFUSED_TOKENIZERS: dict[str, Make] = {
    "a special token that is not there": tokenizer(_no_special_token),
    "no unknown token": tokenizer(lambda said: said["model"].update(unk_token="<gone>")),
    "a damaged normaliser": tokenizer(
        lambda said: said.update(
            normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA////"}
        )
    ),
    "an id beyond int32": tokenizer(lambda said: said["model"]["vocab"].update(t1=2**32 - 1)),
}
"""Each must be refused when a text is encoded."""

OTHER_CHECKPOINTS: dict[str, Make] = {
    "special tokens as objects": edited(
        "tokenizer_config.json", bos_token={"__type": "AddedToken", "content": "t1"}
    ),
    "a number as text": edited("generation_config.json", max_length="2048"),
    "two heads that differ": tensors(_add("lm_head.weight", 96, 64)),
    "rope said twice": edited(
        "config.json",
        rope_scaling={"type": "linear", "factor": 2.0},
        rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0},
    ),
    "flags that the tokenizer does not follow": edited(
        "tokenizer_config.json", add_bos_token=True, add_eos_token=True
    ),
    "biases without the flag": tensors(_add("model.layers.0.self_attn.q_proj.bias", 64)),
    "NaN": tensors(_put("model.embed_tokens.weight", float("nan"))),
    "infinity": tensors(_put("model.layers.1.mlp.up_proj.weight", float("inf"))),
    "a tensor that nothing asks for": tensors(_add("model.extra.weight", 4)),
    "quantised already": edited("config.json", quantization_config={"quant_method": "gptq"}),
}
"""Built, or refused; never anything else."""


def records(*articles: str) -> Make:
    """Articles of one's own."""

    def make(path: Path) -> None:
        rows = ({"article": text, "highlights": "A summary."} for text in articles)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return make


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("news.jsonl", "{}")


DATASETS: dict[str, Make] = {
    "an article of 20 MB": records("w " * 10_000_000),
    "a word of 20 MB": records("w" * 20_000_000),
    "nested.jsonl": lambda path: path.write_text('{"article":' + "[" * 100_000),
    "gz": lambda path: path.write_bytes(gzip.compress(b'{"article": "a", "highlights": "b"}\n')),
    "zip": _zip,
    "endless": lambda path: path.symlink_to(ENDLESS),
    "a pipe": os.mkfifo,
    "ESC in a record": lambda path: path.write_text('{"id": "\\u001b[2J", "article": 3}\n'),
}
"""Each must be refused, by `dataset` and `run`."""


def _bomb(path: Path) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]")
    path.write_text("\n".join(lines))


CONFIGS: dict[str, Make] = {
    "anchors": _bomb,
    "a month of 13": lambda path: path.write_text("name: 2026-13-01\n"),
    "deep": lambda path: path.write_text("a: " + "[" * 100_000),
    "a number of base 60": lambda path: path.write_text("a: 1" + ":1" * 100_000),
    "endless": lambda path: path.symlink_to(ENDLESS),
    "a pipe": os.mkfifo,
    "a key of 200 kB": lambda path: path.write_text("? " + "k" * 200_000 + "\n: 1\n"),
    "ESC in a key": lambda path: path.write_text('"\\e[2J\\u202Ex": 1\n'),
    "half a character": lambda path: path.write_bytes(b"a: \xff\n"),
}
"""Each must be refused as a workload, a recipe and a round."""


def record(field: str, value: object) -> Make:
    """A finished run (a copy, in place) in whose run.json a field has another value."""

    def make(folder: Path) -> None:
        file = folder / "run.json"
        said = json.loads(file.read_text())
        *path, last = field.split(".")
        section = said
        for part in path:
            section = section[part]
        section[last] = value
        file.write_text(json.dumps(said))

    return make


def _endless_record(folder: Path) -> None:
    (folder / "run.json").unlink()
    (folder / "run.json").symlink_to(ENDLESS)


RECORDS: dict[str, Make] = {
    "a workload that leads away": record("workload.name", "../../../evil"),
    "a benchmark that leads away": record("benchmark", "../evil"),
    "a scenario that leads away": record("scenario", "../Offline"),
    "a round that is a file": record("round", "evil.yaml"),
    "a backend of nobody": record("executor.backend", "os:system"),
    "a name of 300 characters": record("workload.name", "a" * 300),
    "a property that is code": record("engine.runtime", {"EXTENSIONS": "/tmp/evil.so"}),
    "a key with a line": record("tests.performance.plan.model", "a\nb.Offline.target_qps = 9"),
    "endless": _endless_record,
}
"""Each must be refused by `audit` and `submission pack`."""


def tree(folder: Path, file: Make) -> None:
    """A submission tree in which every file is of one kind."""
    home = folder / "open" / "me"
    result = home / "results" / "s" / "llama3.1-8b" / "Offline"
    names = [
        "systems/s.json",
        "model_mapping.json",
        *(f"{result.relative_to(home)}/{name}" for name in ("measurements.json", "user.conf")),
        *(
            f"{result.relative_to(home)}/{test}/{name}"
            for test in ("performance/run_1", "accuracy")
            for name in (
                "mlperf_log_detail.txt",
                "mlperf_log_summary.txt",
                "mlperf_log_accuracy.json",
                "accuracy.txt",
            )
        ),
    ]
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        file(home / name)


def giant(path: Path) -> None:
    """A sparse file of a tebibyte."""
    with path.open("wb") as stream:
        stream.truncate(2**40)


def _deep(folder: Path) -> None:
    tree(folder, lambda path: path.write_text("{}"))
    deep = folder / "open" / "me" / "src"
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)


def _escaped(folder: Path) -> None:
    tree(folder, lambda path: path.write_text("{}"))
    shutil.copytree(folder / "open" / "me", folder / "open" / "\x1b[2J\u202eme")


TREES: dict[str, Make] = {
    "endless": lambda folder: tree(folder, lambda path: path.symlink_to(ENDLESS)),
    "pipes": lambda folder: tree(folder, os.mkfifo),
    "giants": lambda folder: tree(folder, giant),
    "deep": _deep,
    "ESC in a name": _escaped,
}
"""Each must be found wanting by `submission check`."""
