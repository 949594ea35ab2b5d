"""The sections of the report after the summary."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.claims import judge
from analysis.figures import NotEnough, figures
from analysis.figures.drawing.captions import common
from analysis.frames.methods.typical import typical_trials
from analysis.page.document import Absent, Code, Drawing, Gallery, Item, SampleGrid, Section, Table, Text
from analysis.rows.coverage import BEGUN, MISSING, OTHER, PLACES, coverage, failure_reasons
from analysis.rows.provenance import PROTOCOL, protocols, provenance, times
from analysis.rows.view import Rows
from analysis.tables import number, tables
from search_spaces.ranges import BO
from study.core.text import duration
from study.storage.files import as_typed
from study.storage.schema import DIVERGED, FAILED, FINISHED

ELSEWHERE = ("bo", "searches", "claims")
"""Figures and tables with separate sections: searches of `study bo`, and claims."""
VERDICTS = ("id", "claim", "verdict", "numbers", "paper")
TESTS = ("id", "test", "needs", "cells", "against", "left_out")
"""Columns of the two tables of claims."""
ALWAYS = (FINISHED, DIVERGED, FAILED, MISSING)
"""Columns of coverage that are shown even if they are all zero."""


def figures_section(rows: Rows) -> Section:
    """All figures of the menu except those of separate sections; a sentence if there are not enough rows."""
    return Section(
        name="figures", title="Figures", items=[_drawing(rows, name) for name in figures() if name not in ELSEWHERE]
    )


def _drawing(rows: Rows, name: str) -> Item:
    kind = figures()[name]
    try:
        frames = kind.compute(rows)
    except NotEnough as error:
        return Absent(title=kind.title, sentence=str(error))
    figure = kind.draw(frames, "")
    return Drawing(name=name, title=kind.title, caption=kind.caption(rows, frames), figure=figure)


def tables_section(rows: Rows) -> Section:
    """All tables of the menu except those of separate sections; a sentence if there are not enough rows."""
    names = [name for name in tables() if name not in ELSEWHERE]
    return Section(name="tables", title="Tables", items=[item for name in names for item in _table(rows, name)])


def _table(rows: Rows, name: str) -> Iterator[Item]:
    kind = tables()[name]
    try:
        frame = kind.compute(rows)
    except NotEnough as error:
        yield Absent(title=kind.title, sentence=str(error))
        return
    caption = kind.caption(rows, frame)
    blocks = list(kind.words(frame))
    for at, (title, cells) in enumerate(blocks, 1):
        last = at == len(blocks)
        title_once = kind.title if at == 1 else ""
        yield Table(title=title_once, heading=title, cells=_filled(cells), caption=caption if last else "")


def _filled(cells: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The cells with omitted repetitions filled in from the line above, since readers can sort the lines."""
    first = next(iter(cells.values()), [])
    blank = [at for at, text in enumerate(first) if not text]
    return {
        column: [texts[_above(first, at)] for at in range(len(texts))] if all(not texts[at] for at in blank) else texts
        for column, texts in cells.items()
    }


def _above(first: Sequence[str], at: int) -> int:
    """The nearest line, from this one upwards, with a nonempty first cell."""
    return next((line for line in range(at, -1, -1) if first[line]), at)


def claims_section(rows: Rows) -> Section:
    """The verdicts of the paper's claims on these rows, and their tests."""
    verdict_rows = judge(rows)
    verdicts = Table(
        title="The paper's claims on these data", cells=_columns(verdict_rows, VERDICTS), caption=common(rows)
    )
    tests = Table(title="How each claim is tested", cells=_columns(verdict_rows, TESTS))
    return Section(name="claims", title="Claims", items=[verdicts, tests])


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    return {name.replace("_", " "): [_text(value) for value in frame[name]] for name in names}


def samples(rows: Rows, images: Mapping[str, bytes | str]) -> Section:
    """Generated images of the best and the median trial of each method.

    Args:
        rows: the rows.
        images: by trial id, the bytes of a PNG, or the reason in words if there are no images.
    """
    typical = typical_trials(rows.scored)
    items: list[Item] = [
        Text(
            paragraphs=[
                "The best and the median trial of each method; half of a method's trials score at least as well "
                "as the median one (diverged and failed trials rank last). Each grid is from the generator that was "
                "kept, that of the trial's best checkpoint; all grids use the same latents."
            ]
        )
    ]
    for dataset, trials in typical.groupby("dataset", sort=False):
        shown = [_sample(trial, images) for trial in trials.to_dict("records")]
        items.append(Gallery(title=str(dataset), samples=shown))
    return Section(name="samples", title="Samples", items=items)


def _sample(trial: Mapping[Any, Any], images: Mapping[str, bytes | str]) -> SampleGrid:
    title = f"{trial['method']}, {trial['which']}"
    place = f"rank {trial['rank']} of {trial['n']}"
    if not isinstance(trial["trial_id"], str):
        return SampleGrid(title=title, caption=place, trial_id="", image="The trial of this rank has no score.")
    image = images.get(trial["trial_id"], "No images were drawn.")
    caption = f"{trial['score_label']} {number(trial['score'])}, {place}; {trial['setting']}"
    return SampleGrid(title=title, caption=caption, trial_id=trial["trial_id"], image=image)


def searches(rows: Rows) -> Section:
    """Results of `study bo`: a figure and tables."""
    items = [*(_drawing(rows, name) for name in ELSEWHERE if name in figures())]
    items += [item for name in ELSEWHERE if name in tables() for item in _table(rows, name)]
    return Section(name="searches", title="Searches", items=items)


def coverage_section(rows: Rows) -> Section:
    """Planned and completed trials."""
    frame = coverage(rows)
    if frame.empty:
        sentence = "No plan was recorded with these rows, so missing trials cannot be counted."
        return Section(name="coverage", title="Coverage", items=[Text(paragraphs=[sentence])])
    share = 1 - frame[[OTHER, BEGUN, MISSING]].sum(axis=1) / frame["planned"]
    shown = [name for name in ("planned", *PLACES) if frame[name].any() or name in ALWAYS]
    cells = {
        "space": list(frame["space"]),
        "context": list(frame["context"]),
        **{name.replace("_", " "): [f"{n:,}" for n in frame[name]] for name in shown},
        "done": [f"{100 * part:.4g} %" for part in share],
    }
    caption = (
        "Planned: trials recorded before they ran (memberships.parquet); a trial shared by several spaces counts in "
        "each.\n"
        "Begun: a training state but no row (running or interrupted). Missing: not started. "
        "Other protocol: a row, but not under the protocol of this page."
    )
    table = Table(title="Planned and completed trials", cells=cells, caption=caption)
    return Section(name="coverage", title="Coverage", items=[table])


def failures_section(rows: Rows) -> Section:
    """Divergences and failures by reason."""
    frame = failure_reasons(rows)
    name, title = "failures", "Divergences and failures"
    if frame.empty:
        return Section(name=name, title=title, items=[Text(paragraphs=["No trial diverged, and none failed."])])
    cells = {
        "dataset": list(frame["dataset"]),
        "how": list(frame["status"]),
        "reason": list(frame["reason"]),
        "trials": [f"{n:,}" for n in frame["trials"]],
        "at steps": [_steps(first, last) for first, last in zip(frame["first_step"], frame["last_step"], strict=True)],
        "methods": list(frame["methods"]),
        "first trial": list(frame["trial_id"]),
    }
    counted = (
        "both count in every denominator, and rank last"
        if (frame["status"] == FAILED).any()
        else ("they count in every denominator, and rank last")
    )
    caption = f"Reasons that differ only in numbers are grouped; {counted}."
    return Section(name=name, title=title, items=[Table(title="By reason", cells=cells, caption=caption)])


def _steps(first: float, last: float) -> str:
    if pd.isna(first):
        return "-"
    return f"{first:.0f}" if first == last else f"{first:.0f} to {last:.0f}"


def provenance_section(rows: Rows, command: Sequence[str]) -> Section:
    """Protocols, versions, machines and images, and the command that regenerates the report."""
    by_what = provenance(rows)
    run = {
        "what": [field.replace("_", " ") for field in by_what["field"]],
        "value": list(by_what["value"]),
        "trials": [f"{n:,}" for n in by_what["trials"]],
    }
    items: list[Item] = [
        _protocols(rows),
        Table(title="Images, versions and machines", cells=run, caption=_when(rows)),
        Text(paragraphs=["To regenerate this page, run"]),
        Code(lines=[shlex.join(command)]),
        *_to_run(rows),
    ]
    return Section(name="provenance", title="Protocol and provenance", items=items)


def _protocols(rows: Rows) -> Table:
    """A column per protocol."""
    result = protocols(rows)
    fields = ("on_this_page", "trials", "score", *PROTOCOL)
    cells = {"field": [name.replace("_", " ") for name in fields]}
    for row in result.rename(columns={"shown": "on_this_page", "score_label": "score"}).to_dict("records"):
        cells[f"{row['dataset']}, {row['protocol_id']}"] = [_text(row[name]) for name in fields]
    return Table(title="Metric protocols", cells=cells, caption="Scores are comparable only under the same protocol.")


def _to_run(rows: Rows) -> list[Item]:
    """The commands that run missing trials; the options of a run are not recorded."""
    spaces = [str(space) for space in rows.members["space"].unique() if space not in (BO, "train")]
    if not spaces or rows.folder is None:
        return []
    sentence = (
        "To run the missing trials of a space (no trial is run twice), repeat the command that started it. The options "
        "of a run are not recorded; without further options the command is"
    )
    contexts = rows.members[rows.members["space"].isin(spaces)].drop_duplicates(["space", "context"])
    lines = [
        shlex.join(["study", "run", str(space), "--dataset", str(context), "--results", str(as_typed(rows.folder))])
        for space, context in zip(contexts["space"], contexts["context"], strict=True)
    ]
    return [Text(paragraphs=[sentence]), Code(lines=lines)]


def _when(rows: Rows) -> str:
    result = times(rows)
    begun, ended = (f"{result[name]:%Y-%m-%d %H:%M}" for name in ("started", "ended"))
    training, scoring = (duration(float(str(result[f"{name}_seconds"]))) for name in ("training", "scoring"))
    return f"Run from {begun} to {ended} UTC; {training} of training and {scoring} of scoring, over all workers."


def _text(value: object) -> str:
    """A cell with any value; empty for a missing one."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.0f}" if isinstance(value, float) and value.is_integer() else str(value)
