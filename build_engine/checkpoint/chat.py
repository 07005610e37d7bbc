"""A checkpoint's chat template: from what a user says to the text of the whole prompt.

It is rendered as transformers does it (`_compile_jinja_template` of its chat_template_utils.py), in
Jinja's sandbox and in a process of its own, whose time and memory are bounded. The one difference:
a template that asks for today's date is always given the same one, so that the prompts of a dataset
can be made again.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.chat_worker import MAX_CPU_S
from build_engine.errors import CheckpointError
from build_engine.files import Unreadable, parse_json

if TYPE_CHECKING:
    from build_engine.checkpoint.special_tokens import Tokens

_WORKER = "build_engine.checkpoint.chat_worker"
_SAID = "Hello"  # what a template must repeat


class ChatTemplate:
    """The template of the checkpoint in `folder`. Raises CheckpointError for a text that is no
    template, and for one that leaves out what a user says: its prompts would all be equal.
    """

    def __init__(self, text: str, tokens: Tokens, folder: Path) -> None:
        self._folder, self._text = folder, text
        self._special: dict[str, object] = dict(tokens.by_name)
        if tokens.additional:
            self._special["additional_special_tokens"] = list(tokens.additional)
        if _SAID not in self.prompt(_SAID):
            raise self._fault("it leaves out what the user says")

    def prompt(self, said: str) -> str:
        """The prompt in which a user says this. See `prompts`."""
        [prompt] = self.prompts([said])
        return prompt

    def prompts(self, texts: Sequence[str]) -> list[str]:
        """For each text the prompt in which a user says it, up to where the answer begins. Raises
        CheckpointError for a template that cannot take one of them, or takes too much for it.
        """
        lines = [{"template": self._text, "special": self._special}, *texts]
        done = subprocess.run(
            [sys.executable, "-m", _WORKER],
            input="".join(f"{json.dumps(line)}\n" for line in lines),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            check=False,
        )
        if done.returncode == -signal.SIGPROF:
            raise self._fault(f"one prompt takes it more than {MAX_CPU_S:g} s")
        prompts = list(self._read(done.stdout))
        if len(prompts) != len(texts):
            raise self._fault(f"its process ended with exit code {done.returncode}")
        return prompts

    def _read(self, answer: str) -> Iterator[str]:
        """The prompts that the process made. Raises CheckpointError for its fault."""
        for line in answer.splitlines():
            try:
                said: dict[str, str] = parse_json(line)
            except Unreadable as problem:
                raise self._fault(f"what it makes {problem}") from None
            if "fault" in said:
                raise self._fault(said["fault"])
            yield said["prompt"]

    def _fault(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"The chat template of {self._folder} cannot be used ({reason}); correct it, or leave "
            "chat_template out of the workload."
        )
