"""`study export`: write the trials of a study to an Optuna storage."""

import math
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli import options
from study.cli.show.view import DatasetFilter, ProtocolFilter, names
from study.core.errors import InputError
from study.core.output import show
from study.core.text import plural
from study.driver.request import ResultsFolder

if TYPE_CHECKING:
    import pandas as pd
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

Checkpoints = dict[Any, dict[int, float]]
"""Frechet distance by discriminator step, by (trial id, protocol id)."""

LOGARITHMIC = {"learning_rate": True, "beta1": False, "beta2": False, "penalty_weight": True}
"""The real-valued hyperparameters, and whether their scale is logarithmic."""


app = typer.Typer()


@app.command(epilog="Example: `study export --optuna study.db && optuna-dashboard sqlite:///study.db`")
@options.keeps("No file was written")
@options.spread
def export(
    optuna: Annotated[Path, typer.Option(help="File to write, an Optuna storage (SQLite).", metavar="FILE")],
    *,
    folder: ResultsFolder,
    dataset: DatasetFilter = None,
    protocol: ProtocolFilter = None,
) -> None:
    """Write all trials to a file that Optuna and optuna-dashboard can read.

    The file contains one Optuna study per search of `study bo`. All other trials are grouped by dataset, architecture
    and method, with one Optuna study per group.
    """
    from analysis.rows.load import load, load_checkpoints, select

    path, results = optuna.absolute(), folder.results
    if path.exists():
        raise InputError(f"--optuna {optuna}: exists already; remove it, or choose another file.")
    frame = select(load(results), dataset=names(dataset), protocol=protocol)
    groups = dict(_groups(frame, results))
    scores = load_checkpoints(results).dropna(subset=["frechet_distance"])
    checkpoints = {
        key: dict(zip(rows["discriminator_step"], rows["frechet_distance"], strict=True))
        for key, rows in scores.groupby(["trial_id", "protocol_id"])
    }
    _write(path, groups, checkpoints)
    trials, studies = sum(map(len, groups.values())), len(groups)
    counts = f"{trials} {plural(trials, 'trial')} in {studies} Optuna {plural(studies, 'study', 'studies')}"
    show(f"{path}: {counts}")


def _groups(frame: "pd.DataFrame", results: Path) -> Iterator[tuple[str, "pd.DataFrame"]]:
    """The Optuna studies: for each a name and the rows of its trials, with column round (0 outside of searches)."""
    from analysis.frames.hyperparameters.searches import search_trials
    from analysis.rows.scores import with_context
    from search_spaces.ranges import BO
    from study.storage.tables import read_table

    others, members = frame, read_table(results, "memberships").to_pandas()
    if frame["trial_id"].isin(members["trial_id"][members["space"] == BO]).any():
        trials = search_trials(frame, results)
        others = frame[~frame["trial_id"].isin(trials["trial_id"])]
        yield from ((str(name), rows) for name, rows in trials.groupby("search", sort=False))
    if len(others):
        names = others["dataset"] + " " + others["architecture"] + " " + others["method"]
        names = with_context(names, others.assign(architecture=""), all_values=True)
        yield from ((str(name), rows) for name, rows in others.assign(round=0).groupby(names, sort=False))


def _write(path: Path, groups: dict[str, "pd.DataFrame"], checkpoints: "Checkpoints") -> None:
    """Write the storage completely, or not at all.

    Args:
        path: the new file.
        groups: rows of trials by the name of their Optuna study.
        checkpoints: Frechet distance by discriminator step, by (trial id, protocol id).

    Raises:
        InputError: the file cannot be written.
    """
    from study.storage.files import move_into_place, temporary_name

    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            storage = _storage(temporary)
            for name, rows in groups.items():
                _add_study(storage, name, rows, checkpoints)
            storage.remove_session()
            storage.engine.dispose()
            move_into_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"--optuna {path}: cannot be written ({error.strerror}); choose another folder.") from error


def _storage(path: Path) -> "RDBStorage":
    """An empty Optuna storage in a new file. It does not wait for the disk: an incomplete file is discarded anyway."""
    from optuna.storages import RDBStorage

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        return connection

    return RDBStorage("sqlite://", engine_kwargs={"creator": connect})


def _add_study(storage: "RDBStorage", name: str, rows: "pd.DataFrame", checkpoints: "Checkpoints") -> None:
    """Add the trials of one group to the storage as a new Optuna study."""
    import optuna

    from analysis.rows.load import describe_protocol
    from study.storage.schema import score_label

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, first = optuna.create_study(storage=storage, study_name=name, direction="minimize"), rows.iloc[0]
    study.set_user_attr("score", score_label(first))
    study.set_user_attr("protocol", f"{first['protocol_id']} ({describe_protocol(first)})")
    distributions = _distributions(rows)
    study.add_trials(
        _frozen(
            {str(name): value for name, value in row.items()},
            distributions,
            checkpoints.get((row["trial_id"], row["protocol_id"]), {}),
        )
        for row in rows.to_dict("records")
    )


def _distributions(rows: "pd.DataFrame") -> "dict[str, BaseDistribution]":
    """The distribution of each hyperparameter, from the smallest to the largest value of the rows."""
    from optuna.distributions import FloatDistribution, IntDistribution

    reals = {
        name: FloatDistribution(rows[name].min(), rows[name].max(), log=log)
        for name, log in LOGARITHMIC.items()
        if rows[name].notna().any()
    }
    return {**reals, "n_dis": IntDistribution(int(rows["n_dis"].min()), int(rows["n_dis"].max()))}


def _frozen(
    row: dict[str, Any], distributions: "dict[str, BaseDistribution]", checkpoints: dict[int, float]
) -> "FrozenTrial":
    """A row as an Optuna trial: complete with its best score, pruned if it was stopped early, else failed."""
    from optuna.trial import FrozenTrial, TrialState

    from study.storage.schema import FINISHED, STOPPED

    scored = row["status"] == FINISHED and math.isfinite(row["best_frechet_distance"])
    unscored = TrialState.PRUNED if row["status"] == STOPPED else TrialState.FAIL
    attributes = {name: row[name] for name in ("trial_id", "status", "seed", "protocol_id", "round")}
    return FrozenTrial(
        number=0,
        trial_id=0,
        state=TrialState.COMPLETE if scored else unscored,
        value=row["best_frechet_distance"] if scored else None,
        datetime_start=_local(row["started_at"]),
        datetime_complete=_local(row["finished_at"]),
        params={name: row[name] for name in distributions},
        distributions=distributions,
        user_attrs=attributes | ({"reason": row["reason"]} if isinstance(row["reason"], str) else {}),
        system_attrs={},
        intermediate_values=checkpoints,
    )


def _local(when: Any) -> datetime:
    """A time as Optuna stores it: local, without a time zone."""
    local: datetime = when.to_pydatetime().astimezone().replace(tzinfo=None)
    return local
