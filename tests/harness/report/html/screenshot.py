"""The picture of a report in the README:

python -m tests.harness.report.html.screenshot report.html docs/images/report.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def main(report: Path, picture: Path) -> None:
    """What a reader sees first, in light colours."""
    from playwright.sync_api import ViewportSize, sync_playwright

    picture.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport=ViewportSize(width=1200, height=1350), color_scheme="light"
        )
        page.goto(report.absolute().as_uri())
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
