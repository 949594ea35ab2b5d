"""From the user's request to the list of trials. All names, numbers and files are checked before any trial runs."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from search_spaces import SearchSpace
from study import data
from study.core.context import Context
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.data.dataset import Dataset
from study.driver.planning.planned import Planned, Shape
from study.driver.request import KeepOptions, Request, Selection
from study.driver.spaces.expand import expand
from study.gan.methods.menu import canonical
from study.gan.model import build
from study.metrics.extractors.menu import load_extractor
from study.metrics.menu import resolve_metrics
from study.metrics.protocols import resolve_protocol
from study.storage.layout import generator_path
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED
from study.storage.tables import read_table, statuses
from study.worker.checkpoint import Unreadable
from study.worker.resume import continuation

MAX_CHECKPOINTS = 10
"""Maximum number of checkpoints of a trial, unless its dataset declares more or an interval is given."""


def checkpoint_interval(request: Request, declared: Dataset, space: SearchSpace | None = None) -> int:
    """Discriminator updates between the scored checkpoints of a trial.

    It is the user's interval, else the space's. Otherwise it is the dataset's interval, or its smallest multiple with
    which a trial has at most MAX_CHECKPOINTS checkpoints, or as many as the dataset declares for its own trials. It is
    never longer than a trial. A space that adds `extra_steps` keeps the interval of the shorter trials, from whose
    states its own trials continue.
    """
    steps = request.training.discriminator_steps or declared.discriminator_steps
    given = request.checkpoints.checkpoint_every or (space and space.checkpoint_every)
    limit = max(MAX_CHECKPOINTS, -(-declared.discriminator_steps // declared.checkpoint_every))
    multiple = -(-steps // (limit * declared.checkpoint_every))
    return min(given or multiple * declared.checkpoint_every, steps)


def make_context(request: Request, declared: Dataset, space: SearchSpace | None = None) -> tuple[Context, Shape]:
    """The context of a dataset and the shape of its images.

    Raises InputError if the dataset is not prepared, if the extractor cannot be loaded, or if the protocol or a metric
    is unknown or does not fit.
    """
    images = data.load(declared.name, request.data_dir)
    scoring, weights = request.scoring, request.scoring.extractor_weights
    extractor = load_extractor(
        scoring.extractor or declared.extractor, dataset=declared.name, data_dir=request.data_dir, weights=weights
    )
    protocol = resolve_protocol(
        images,
        extractor,
        scoring.n_real,
        scoring.n_fake,
        declared.n_score,
        name=scoring.protocol,
        kid_subset=scoring.kid_subset,
        feature_precision=scoring.feature_precision,
    )
    context = Context(
        dataset=declared.name,
        dataset_sha256=images.sha256,
        protocol=protocol,
        checkpoint_every=checkpoint_interval(request, declared, space),
        data_dir=request.data_dir,
        results=request.results,
        extractor_weights=weights and weights.absolute(),
        operator_norms=request.checkpoints.operator_norms,
        metrics=resolve_metrics(scoring.metrics, extractor, protocol),
        keep_states=isinstance(request.keep, KeepOptions) and request.keep.keep_states,
        keep=request.keep.keep,
        deterministic=request.running.deterministic,
        logger=request.running.logger,
    )
    return context, (images.train.shape[1], images.train.shape[2])


def training_of(request: Request, declared: Dataset, space: SearchSpace | None = None) -> Training:
    """The training settings of all trials of a dataset: the user's options, else the space's, else the dataset's."""
    options = request.training

    def resolved(field: str) -> int:
        return int(getattr(options, field) or getattr(space, field, None) or getattr(declared, field))

    return Training(
        discriminator_steps=options.discriminator_steps or declared.discriminator_steps,
        width=resolved("width"),
        batch_size=resolved("batch_size"),
        latent_dim=resolved("latent_dim"),
        precision=options.precision,
    )


def plan_trial(request: Request, method: Method, hyperparameters: Hyperparameters, seed: int) -> Planned:
    """The single trial of `study train`."""
    (dataset,) = request.datasets
    declared = data.get(dataset, request.data_dir)
    training = training_of(request, declared)
    context, shape = make_context(request, declared)
    trial = Trial(
        dataset=dataset, method=canonical(method), hyperparameters=hyperparameters, training=training, seed=seed
    )
    build(trial, *shape)
    return Planned(trial=trial, context=context, shape=shape)


def make_plan(request: Request, space: SearchSpace) -> list[Planned]:
    """All trials of a space, seed by seed, without duplicates. Raises InputError if a trial could not run."""
    planned: dict[tuple[str, str], Planned] = {}
    for dataset in request.datasets:
        declared = data.get(dataset, request.data_dir)
        context, shape = make_context(request, declared, space)
        base = training_of(request, declared, space)
        trials = trials_of(request, space, declared, context.protocol.id)
        for trial in trials:
            parent = replace(trial, training=base) if trial.training != base else None
            one = Planned(trial=trial, context=context, shape=shape, parent=parent)
            planned.setdefault(one.key, one)
        for trial in {trial.method: trial for trial in trials}.values():
            build(trial, *shape)
    return list(planned.values())


def trials_of(request: Request, space: SearchSpace, declared: Dataset, protocol_id: str | None = None) -> list[Trial]:
    """The trials of a space on a dataset, seed by seed, without duplicates. No prepared images are needed.

    Args:
        request: the user's request.
        space: the search space.
        declared: the dataset's declaration.
        protocol_id: a space that chooses settings from rows uses the rows of this protocol; None: of all protocols.

    Raises:
        InputError: a name or number is not valid, or there are no rows to choose from.
    """
    base = training_of(request, declared, space)
    if space.choose:
        space = _chosen(request, space, declared.name, base, protocol_id)
    training = replace(base, discriminator_steps=space.steps(base.discriminator_steps))
    settings = expand(space, declared, _selection(request), many=request.running.yes)
    trials = (
        Trial(
            dataset=declared.name,
            method=setting.method,
            hyperparameters=setting.hyperparameters,
            training=training,
            seed=seed,
        )
        for seed in range(max(setting.seeds for setting in settings))
        for setting in settings
        if seed < setting.seeds
    )
    return list(dict.fromkeys(trials))


def _selection(request: Request) -> Selection:
    """The request's selection; one without settings and seeds is for single trials and searches, not for spaces."""
    if not isinstance(request.selection, Selection):
        raise TypeError("a search space needs a Selection, with settings and seeds")
    return request.selection


def _chosen(
    request: Request, space: SearchSpace, dataset: str, training: Training, protocol_id: str | None
) -> SearchSpace:
    """The space with the settings that it chooses from rows of complete trials with this training.

    Rows of trials that only this space proposed do not count, so the choice is the same after its trials have run.
    Raises InputError if there is no row to choose from.
    """
    belongs: dict[str, set[str]] = {}
    for row in read_table(request.results, "memberships").select(["trial_id", "space"]).to_pylist():
        belongs.setdefault(row["trial_id"], set()).add(row["space"])
    same = {"dataset": dataset, **asdict(training)}
    chosen = space.chosen(
        [
            row
            for row in read_table(request.results, "trials").to_pylist()
            if row["status"] in (FINISHED, DIVERGED)
            and belongs.get(row["trial_id"]) != {space.recorded_name}
            and protocol_id in (None, row["protocol_id"])
            and all(row[name] == value for name, value in same.items())
        ]
    )
    if not chosen.blocks:
        raise InputError(
            f"--results {request.results}: no trial of {dataset} with {training.discriminator_steps:,} D updates has a"
            " score to choose from; run a space there first."
        )
    return chosen


def pending(
    planned: Sequence[Planned], results: Path, *, retry_failed: bool = False, whole: bool = True
) -> list[Planned]:
    """The trials that are not done yet.

    A trial is done if it has a row under its protocol: finished, diverged, failed (unless `retry_failed`), or stopped
    early (unless `whole`). A trial that finished under another protocol and has a kept generator is only scored
    (`kept`), outside packs. `parent` stays set only if the parent left a usable state; if it is not usable, a line on
    standard error says why.

    Args:
        planned: the whole plan.
        results: the results folder.
        retry_failed: whether failed trials run again.
        whole: whether trials that were stopped early run again.

    Raises:
        InputError: the folder's rows are about other images with the same dataset name.
    """
    seen = read_table(results, "trials").select(["dataset", "dataset_sha256"]).group_by(["dataset", "dataset_sha256"])
    hashes = {context.dataset: context.dataset_sha256 for context in {p.context for p in planned}}
    for row in seen.aggregate([]).to_pylist():
        sha256 = hashes.get(row["dataset"], row["dataset_sha256"])
        if sha256 != row["dataset_sha256"]:
            raise InputError(
                f"--results {results}: its rows are about {row['dataset']} with hash {row['dataset_sha256'][:16]}, the"
                f" prepared images have {sha256[:16]}; prepare the same images again, or choose another folder."
            )
    done = statuses(results, {p.trial.id for p in planned})
    again = {FAILED: retry_failed, STOPPED: whole}
    finished = {trial_id for (trial_id, _), status in done.items() if status == FINISHED}
    todo = [
        replace(p, kept=p.trial.id in finished and generator_path(results, p.trial.id).is_file())
        for p in planned
        if p.key not in done or again.get(done[p.key], False)
    ]
    refused: Counter[str] = Counter()
    todo = [replace(p, parent=_usable_parent(p, refused), pack=() if p.kept else p.pack) for p in todo]
    for reason, count in refused.items():
        print(f"trials trained from the start: {count} ({reason})", file=sys.stderr)
    return todo


def _usable_parent(planned: Planned, refused: Counter[str]) -> Trial | None:
    """The parent if training can continue from its state, else None; `refused` counts the reasons."""
    if planned.parent is None or planned.kept:
        return None
    context = planned.context
    try:
        found = continuation(planned.trial, planned.parent, context.results, context.conditions, peek=True)
    except Unreadable:
        return planned.parent  # the worker tries again
    except InputError as error:
        refused[str(error)] += 1
        return None
    return planned.parent if found else None
