"""`enginebench report`."""

from __future__ import annotations

from pathlib import Path

from harness.cli.output import Output

_RESULTS = Path("results")


def report(
    folders: list[Path] | None = None,
    *,
    output: Path = Path("report.html"),
    baseline: str | None = None,
    json: bool = False,
) -> None:
    """Show runs as one HTML page: which recipe to run, on what evidence, and how each was measured.

    Parameters
    ----------
    folders
        Of runs, of sweeps, or any folder above them; results when left out. What they hold is taken
        together as by `enginebench compare`.
    output
        The page; one that is there is replaced.
    baseline
        What the others are held against, as for `enginebench compare`; the first candidate that is
        not quantised when left out.
    json
        Write where the page is to standard output as JSON.
    """
    from harness.report.html.report import write_report
    from harness.runs.place import require_page_place

    out = Output(as_json=json)
    require_page_place(output, "--output")
    written = write_report(folders or [_RESULTS], output, baseline)
    out.say(f"The report is {written}")
    out.result({"report": str(written)})
    out.advice(f"open {written.absolute().as_uri()} in a browser")
