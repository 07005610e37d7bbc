"""The page as HTML: one file that loads nothing, in which no text of a result is markup.

Its Content-Security-Policy names the style sheet and the script by their digests, so that a browser
would refuse any other, whatever a result held.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from harness.report.html.cells import numeric_columns
from harness.streams import printable

if TYPE_CHECKING:
    from jinja2 import Environment

    from harness.report.html.page import Page

_PACKAGE = "harness.report.html"


def render(page: Page) -> str:
    """The whole document."""
    environment = _environment()
    loader = environment.loader
    assert loader is not None
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(
        page=page, style=style, script=script, policy=_policy(style, script)
    )


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digest(style)}",
            f"script-src {_digest(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals["numeric_columns"] = numeric_columns
    return environment


def _shown(value: Any) -> Any:
    """A text with what could not be shown written out, line by line; markup as it is."""
    if type(value) is not str:
        return value
    return "\n".join(map(printable, value.split("\n")))
