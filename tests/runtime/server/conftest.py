"""A tiny engine with a chat template."""

from __future__ import annotations

import pytest

from build_engine.build import build, make_spec
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.progress import NullProgress
from build_engine.recipe import load_recipe
from build_engine.store.engine import Engine
from build_engine.store.limits import EngineLimits
from build_engine.store.store import EngineStore
from build_engine.target import load_target
from tests.build_engine.checkpoints import write_checkpoint

LIMITS = EngineLimits(max_batch_size=4, max_input_len=48, max_seq_len=64, max_num_tokens=32)
TEMPLATE = (
    "{% if messages[0].content == 't9' %}{{ raise_exception('no t9, please') }}{% endif %}"
    "{% for message in messages %}{{ message.content }} {% endfor %}t90"
)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    root = tmp_path_factory.mktemp("served")
    write_checkpoint(root / "tiny")
    (root / "tiny/chat_template.jinja").write_text(TEMPLATE)
    checkpoint = resolve_checkpoint(str(root / "tiny"))
    spec = make_spec(checkpoint, load_target("cpu"), load_recipe("bf16"), LIMITS)
    return build(spec, EngineStore(root / "store"), NullProgress())
