"""Prints tables, plans, and the results of studies and searches."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.core.output import show
from study.core.text import duration, plural

if TYPE_CHECKING:
    from analysis.tables import Block
    from study.driver.cost.estimate import PlanEstimate
    from study.driver.planning.planned import Planned


def print_tables(blocks: "Iterable[Block]") -> None:
    """Print blocks of `analysis.tables`: as drawn tables on a terminal, otherwise as plain text."""
    from rich.console import Console

    from analysis.tables import plain_table, terminal_table

    if sys.stdout.isatty():
        Console().print(terminal_table(blocks))
    else:
        show(*plain_table(blocks).split("\n"))


def show_best(results: Path, datasets: list[str] | None, protocols: list[str] | None) -> None:
    """Print the table of the best trials of each method, and draw its figure: the end of `study run`."""
    from analysis import report
    from analysis.tables import words

    made = report(results, dataset=datasets, protocol=protocols)
    print_tables(words(made.table))
    show(f"rows: {rows_path(results)}", f"figure: {made.figure_path}")


def folder_of(results: Path) -> Path:
    """The results folder; if `results` is a parquet file, the folder that contains it."""
    return results.parent if results.suffix == ".parquet" else results


def rows_path(results: Path) -> Path:
    """The path of the table of trials; `results` is a results folder or that table itself."""
    return results if results.suffix == ".parquet" else results / "trials.parquet"


def show_searches(results: Path, datasets: list[str] | None, protocols: list[str] | None, **options: Any) -> None:
    """Print the rounds and the best settings of searches, the paths of rows and figure, and the next step."""
    from analysis import search_report
    from analysis.tables import search_words

    made = search_report(results, dataset=datasets, protocol=protocols, **options)
    print_tables(search_words(made.rounds, made.chosen))
    show(f"rows: {results / 'trials.parquet'}", f"figure: {made.figure_path}")
    show(
        f"next: `study run seeds --results {results}` repeats the best settings over more seeds;"
        " the best of many noisy runs is optimistically biased."
    )


def plan_lines(title: str, planned: Sequence["Planned"], estimate: "PlanEstimate") -> list[str]:
    """The lines of a plan: number of trials by method, how many are done, and the time that the others take."""
    datasets = ", ".join(dict.fromkeys(p.trial.dataset for p in planned))
    done = len(planned) - estimate.total
    width = max(len("method"), *map(len, estimate.methods))
    trials = f"{len(planned)} {plural(len(planned), 'trial')}"
    lines = [f"{title} on {datasets}: {trials}, {done} done, {estimate.total} to run", ""]
    lines.append(f"  {'method':{width}}  trials  to run")
    lines += [f"  {name:{width}}  {every:6}  {left:6}" for name, (every, left) in estimate.methods.items()]
    lines += ["", *_scoring_lines(planned)]
    if estimate.kept:
        lines += ["", f"{estimate.kept} have rows under another protocol: only their kept generators are scored"]
    training = estimate.total - estimate.kept
    if training and any(p.parent for p in planned):
        fresh = training - estimate.continued
        lines += ["", f"{estimate.continued} continue from kept states, {fresh} train from the start"]
    if estimate.packs:
        packs = f"{estimate.packs} {plural(estimate.packs, 'pack')}"
        lines += ["", f"{estimate.packed} are trained in {packs}, one program per pack"]
    if training:
        places = f"{estimate.concurrent} {'GPU slots' if estimate.device == 'gpu' else 'CPU cores'}"
        lines += ["", f"about {duration(estimate.seconds)} on {places}, {estimate.basis}"]
    return lines


def _scoring_lines(planned: Sequence["Planned"]) -> list[str]:
    """How often trials are scored: one line, or one for each dataset if they differ."""
    from study.driver.cost.flops import scored_steps

    schedules: dict[str, str] = {}
    for one in planned:
        every, steps = one.context.checkpoint_every, one.trial.training.discriminator_steps
        count = scored_steps(steps, every)
        times = "once" if count == 1 else f"{count} times"
        schedules[one.trial.dataset] = f"scored every {every:,} discriminator updates ({times})"
    if len(set(schedules.values())) <= 1:
        return list(schedules.values())[:1]
    return [f"{dataset}: {schedule}" for dataset, schedule in schedules.items()]
