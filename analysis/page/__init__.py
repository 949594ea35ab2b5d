"""A page about a study: what it says is decided in `compose`, how it looks in `html` and `markdown`.

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
    """All that a page about these rows says. Works on a study that is still running, and says so.

    Args:
        rows: of `open_rows`.
        images: of `typical_trials` by trial id: the bytes of a PNG, or in words why there are none.
        command: that makes the page again.
        at_work: in words, who is running trials of the folder now.
        now: when the page is made, UTC; the time at which the last trial ended where None, so that the same rows give
            the same page.
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
