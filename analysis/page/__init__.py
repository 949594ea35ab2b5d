"""The report on a study: `compose` decides its content, `html` and `markdown` its format.

from analysis.page import compose, write_html

write_html(compose(open_rows(Path("results"))), Path("page.html"))
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from analysis.page.document import Document
from analysis.page.html import write_html
from analysis.page.markdown import write_markdown
from analysis.page.sections import (
    claims_section,
    coverage_section,
    failures_section,
    figures_section,
    provenance_section,
    samples,
    searches,
    tables_section,
)
from analysis.page.summary import summary_section
from analysis.rows.view import Rows

__all__ = ["Document", "compose", "write_html", "write_markdown"]


def compose(
    rows: Rows,
    *,
    images: Mapping[str, bytes | str] | None = None,
    command: Sequence[str] = ("study", "report"),
    at_work: Sequence[str] = (),
    now: datetime | None = None,
) -> Document:
    """The content of the report on these rows. Works on a running study, and states that it is running.

    Args:
        rows: of `open_rows`.
        images: of `typical_trials` by trial id: the bytes of a PNG, or the reason in words if there are no images.
        command: the command that regenerates the report.
        at_work: descriptions of processes that are running trials of the folder.
        now: the time of the report, UTC; None: the end of the last trial, so that equal rows give an equal report.
    """
    datasets = ", ".join(sorted(rows.trials["dataset"].unique()))
    when = rows.trials["finished_at"].max() if now is None else now
    return Document(
        title=f"GAN study: {datasets}",
        subtitle=f"As of {when:%Y-%m-%d %H:%M} UTC",
        sections=[
            summary_section(rows, at_work),
            figures_section(rows),
            tables_section(rows),
            claims_section(rows),
            samples(rows, images or {}),
            searches(rows),
            coverage_section(rows),
            failures_section(rows),
            provenance_section(rows, command),
        ],
    )
