"""A checkpoint's chat template: from what a user says to the text of the whole prompt.

It is rendered as transformers does it (`_compile_jinja_template` of its chat_template_utils.py), in
Jinja's sandbox. The one difference: a template that asks for today's date is always given the same
one, so that the prompts of a dataset can be made again.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import CheckpointError

if TYPE_CHECKING:
    import jinja2

    from build_engine.checkpoint.special_tokens import Tokens

TODAY = datetime(2024, 7, 26)  # the date that Llama 3.1's own template falls back to
_MAX_CHARS = 1 << 20  # that a template adds to what the user says
_SAID = "Hello"  # what a template must repeat


class ChatTemplate:
    """The compiled template of the checkpoint in `folder`. Raises CheckpointError for a text that
    is no template, and for one that leaves out what a user says: its prompts would all be equal.
    """

    def __init__(self, text: str, tokens: Tokens, folder: Path) -> None:
        import jinja2

        self._folder = folder
        special: dict[str, object] = dict(tokens.by_name)
        if tokens.additional:
            special["additional_special_tokens"] = list(tokens.additional)
        self._special = special
        try:
            self._template = _environment().from_string(text)
        except (jinja2.TemplateError, MemoryError, RecursionError) as error:
            raise self._fault(error) from None
        if _SAID not in self.prompt(_SAID):
            raise self._fault("it leaves out what the user says")

    def prompt(self, said: str) -> str:
        """The prompt in which a user says this, up to where the answer begins. Raises
        CheckpointError for a template that cannot take it.
        """
        import jinja2

        pieces, length = [], 0
        try:
            for piece in self._template.generate(
                messages=[{"role": "user", "content": said}],
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._special,
            ):
                pieces.append(piece)
                length += len(piece)
                if length > len(said) + _MAX_CHARS:
                    raise ValueError(f"it adds more than {_MAX_CHARS:,} characters")
        except (jinja2.TemplateError, ArithmeticError, LookupError, RecursionError) as error:
            raise self._fault(error) from None
        except (AttributeError, MemoryError, TypeError, ValueError) as error:
            raise self._fault(error) from None
        return "".join(pieces)

    def _fault(self, error: Exception | str) -> CheckpointError:
        reason = str(error) or "it asks for more memory than there is"
        return CheckpointError(
            f"The chat template of {self._folder} cannot be used ({reason}); correct it, or leave "
            "chat_template out of the workload."
        )


def _environment() -> jinja2.Environment:
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block by which training marks an answer; here it is its content."""

        tags = {"generation"}  # noqa: RUF012 - the attribute that jinja2 reads

        def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own would escape HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> None:
    import jinja2

    raise jinja2.TemplateError(message)
