"""A checkpoint's chat template: from what a user says to the text of the whole prompt.

It is rendered as transformers does it (`_compile_jinja_template` of its chat_template_utils.py), in
Jinja's sandbox and in a process of its own, whose time and memory are bounded. The one difference:
a template that asks for today's date is always given the same one, so that the prompts of a dataset
can be made again.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.chat_worker import MAX_CPU_S
from build_engine.errors import CheckpointError
from build_engine.files import Unreadable, parse_json

if TYPE_CHECKING:
    from build_engine.checkpoint.special_tokens import Tokens

_COMMAND = (sys.executable, "-m", "build_engine.checkpoint.chat_worker")
_SAID = "Hello"  # what a template must repeat


class TemplateFault(CheckpointError):
    """A template that cannot be used, or not for what was said; `reason` says why."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"The chat template of {folder} cannot be used ({reason}); correct it, or leave "
            "chat_template out of the workload."
        )
        self.reason = reason


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
        done = subprocess.run(
            _COMMAND,
            input="".join(f"{json.dumps(line)}\n" for line in (self._first, *texts)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            check=False,
        )
        prompts = list(self._read(done.stdout))
        if len(prompts) != len(texts):
            raise self._ended(done.returncode)
        return prompts

    def session(self) -> ChatSession:
        """A process that renders whole conversations, one after the other."""
        return ChatSession(self)

    @property
    def _first(self) -> dict[str, object]:
        """What its process is told first."""
        return {"template": self._text, "special": self._special}

    def _ended(self, code: int) -> TemplateFault:
        if code == -signal.SIGPROF:
            return self._fault(f"one prompt takes it more than {MAX_CPU_S:g} s")
        return self._fault(f"its process ended with exit code {code}")

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

    def _fault(self, reason: str) -> TemplateFault:
        return TemplateFault(self._folder, reason)


class ChatSession:
    """A template in a process that goes on, so that a conversation is rendered in a moment. Any
    thread may ask.
    """

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt after these messages, each with a role and a content. Raises TemplateFault
        for what the template does not take; the next one finds a new process.
        """
        with self._lock:
            process = self._process or self._start()
            try:
                answer = self._ask(process, messages)
                if not answer:
                    raise self._template._ended(process.wait())
                [prompt] = self._template._read(answer)
            except BaseException:
                self._end()
                raise
        return prompt

    def close(self) -> None:
        """End the process. Idempotent."""
        with self._lock:
            self._end()

    def _ask(self, process: subprocess.Popen[str], messages: Sequence[Mapping[str, str]]) -> str:
        """Its answer, "" when it ended without one."""
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{json.dumps(list(messages))}\n")
            process.stdin.flush()
        return process.stdout.readline()

    def _start(self) -> subprocess.Popen[str]:
        self._process = process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
        )
        assert process.stdin is not None
        process.stdin.write(f"{json.dumps(self._template._first)}\n")
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(BrokenPipeError):  # what it was to be told stays unsaid
                process.__exit__(None, None, None)
