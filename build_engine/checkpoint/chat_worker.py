"""The process that renders a chat template, which is a program of a stranger's: how much one prompt
may compute, and how much memory it may take, is bounded by the system.

Jinja's sandbox keeps a template from the machine; a nested loop, a product of a text and a power
of a power it lets go on for ever. Standard input has a line of JSON with the template and the
special tokens, and then one with each text that a user says, or with all messages of a
conversation; standard output has one with each prompt, or with the fault that ended it.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from build_engine.files import parse_json

if TYPE_CHECKING:
    import jinja2

TODAY = datetime(2024, 7, 26)  # the date that Llama 3.1's own template falls back to
MAX_CHARS = 1 << 20  # that a template adds to what the user says
MAX_CHARS_IN_ALL = 1 << 28
_MAX_FAULT_CHARS = 300  # a template words its own
MAX_CPU_S = 5.0  # for one prompt; real templates take less than a thousandth of it
MAX_BYTES = 1 << 30  # of address space


def main() -> None:
    """Render every text of standard input, up to the first that cannot be."""
    import jinja2

    _limit_memory()
    said = parse_json(sys.stdin.readline())
    left = MAX_CHARS_IN_ALL
    try:
        _allow_time()
        template = _environment().from_string(said["template"])
        for line in sys.stdin:
            _allow_time()
            text = parse_json(line)
            if isinstance(text, list):
                _say(prompt=_rendered(template, said["special"], text, MAX_CHARS))
                continue
            messages = [{"role": "user", "content": text}]
            prompt = _rendered(template, said["special"], messages, min(left, MAX_CHARS))
            left -= max(len(prompt) - len(text), 0)
            _say(prompt=prompt)
    except MemoryError:
        _say(fault="it asks for more memory than there is")
    except (
        jinja2.TemplateError,
        ArithmeticError,
        LookupError,
        RecursionError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        _say(fault=(str(error) or type(error).__name__)[:_MAX_FAULT_CHARS])


def _rendered(
    template: jinja2.Template,
    special: dict[str, object],
    messages: list[dict[str, str]],
    most_chars: int,
) -> str:
    """What transformers makes of it. Raises ValueError for more than `most_chars` over what is said
    in the messages.
    """
    pieces, length = [], 0
    said = sum(len(message["content"]) for message in messages)
    for piece in template.generate(
        messages=messages,
        tools=None,
        documents=None,
        add_generation_prompt=True,
        **special,
    ):
        pieces.append(piece)
        length += len(piece)
        if length > said + most_chars:
            raise ValueError(f"it adds more than {most_chars:,} characters")
    return "".join(pieces)


def _say(**answer: str) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()  # somebody may wait for it before there is more to say


def _limit_memory() -> None:
    """Never more than this process may take already."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    own = MAX_BYTES if most == resource.RLIM_INFINITY else min(most, MAX_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (own, own))


def _allow_time() -> None:
    """From now: SIGPROF ends the process, in the middle of a long multiplication too."""
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_S)


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


if __name__ == "__main__":
    main()
