"""`enginebench report`."""

from __future__ import annotations

from pathlib import Path

from harness.cli.output import Output

_RESULTS = Path("results")


def report(
    folders: list[Path] | None = None,
    *,
    output: Path = Path("report.html"),
    json: bool = False,
) -> None:
    """Show runs as one HTML page: which recipe to run, on what evidence, and how each was measured.

    Parameters
    ----------
    folders
        Of runs, of sweeps, or any folder above them; results when left out.
    output
        The page; one that is there is replaced.
    json
        Write where the page is to standard output as JSON.
    """
    from harness.report.html.report import write_report
    from harness.runs.place import require_page_place

    out = Output(as_json=json)
    require_page_place(output, "--output")
    written = write_report(folders or [_RESULTS], output)
    out.say(f"The report is {written}")
    out.result({"report": str(written)})
    out.advice(f"open {written.absolute().as_uri()} in a browser")
