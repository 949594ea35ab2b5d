"""From what the user asked for to the list of trials: every name, number and file is checked here, before any runs."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from search_spaces import SearchSpace
from study import data
from study.checkpoint import Unreadable
from study.context import BEST, KEEPS, Context
from study.continuation import continuation
from study.events import check_logger
from study.expand import Narrowing, expand
from study.gan.methods import canonical
from study.gan.model import build
from study.metrics.extractors import load_extractor
from study.metrics.menu import resolve_metrics
from study.metrics.protocols import STUDY, resolve_protocol
from study.names import InputError, look_up
from study.results import generator_path, read_table, statuses
from study.rows import DIVERGED, FAILED, FINISHED, STOPPED
from study.trial import FLOAT32, PRECISIONS, Hyperparameters, Method, Training, Trial


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; None where the dataset or the space decides."""

    datasets: Sequence[str]
    results: Path
    data_dir: Path
    architecture: str | None = None
    methods: str | None = None
    settings: int | None = None
    seeds: int | None = None
    n_dis: int | None = None
    discriminator_steps: int | None = None
    extractor: str | None = None
    extractor_weights: Path | None = None
    n_real: int | None = None
    n_fake: int | None = None
    protocol: str = STUDY
    metrics: str | None = None
    kid_subset: int | None = None
    feature_precision: str = FLOAT32
    operator_norms: bool = False
    keep_states: bool = False
    keep: str = BEST
    deterministic: bool = False
    logger: str | None = None
    precision: str = FLOAT32
    many: bool = False

    def __post_init__(self) -> None:
        look_up("--keep", self.keep, KEEPS)
        look_up("--precision", self.precision, PRECISIONS)
        check_logger(self.logger)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial, and what it shares with the others of its dataset.

    `kept`: it was trained before, and only its kept generator is to be scored. `parent`: the same trial with fewer
    steps, from whose state it goes on where there is one (`pending` looks); None where it trains from the start.
    `pack`: the ids of all trials of the plan that one program trains together with it, in the order of the plan
    (`study.packs`); empty where it is trained alone.
    """

    trial: Trial
    context: Context
    shape: tuple[int, int] = field(repr=False)
    kept: bool = False
    parent: Trial | None = None
    pack: tuple[str, ...] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.trial.id, self.context.protocol.id

    @property
    def together(self) -> tuple[str, ...]:
        """The ids of its pack, or its own."""
        return self.pack or (self.trial.id,)

    @property
    def rest(self) -> Trial:
        """A trial of the steps that are still to be trained."""
        training, done = self.trial.training, self.parent.training.discriminator_steps if self.parent else 0
        rest = replace(training, discriminator_steps=training.discriminator_steps - done)
        return replace(self.trial, training=rest)


def make_context(request: Request, dataset: str) -> tuple[Context, tuple[int, int]]:
    """The context of a dataset and its images' (channels, resolution).

    Raises InputError where the dataset is unknown or not prepared, where the extractor cannot be had, and for a
    protocol or metrics that are unknown or ask for what is not there.
    """
    declared = data.get(dataset, request.data_dir)
    images = data.load(dataset, request.data_dir)
    weights = request.extractor_weights
    extractor = load_extractor(
        request.extractor or declared.extractor, dataset=dataset, data_dir=request.data_dir, weights=weights
    )
    protocol = resolve_protocol(
        images,
        extractor,
        request.n_real,
        request.n_fake,
        declared.n_score,
        name=request.protocol,
        kid_subset=request.kid_subset,
        feature_precision=request.feature_precision,
    )
    steps = request.discriminator_steps or declared.discriminator_steps
    context = Context(
        dataset=dataset,
        dataset_sha256=images.sha256,
        protocol=protocol,
        checkpoint_every=min(declared.checkpoint_every, steps),
        data_dir=request.data_dir,
        results=request.results,
        extractor_weights=weights and weights.absolute(),
        operator_norms=request.operator_norms,
        metrics=resolve_metrics(request.metrics, extractor, protocol),
        keep_states=request.keep_states,
        keep=request.keep,
        deterministic=request.deterministic,
        logger=request.logger,
    )
    return context, images.train.shape[1:3]


def training_of(request: Request, dataset: str, width: int | None = None) -> Training:
    """What all trials of a dataset hold fixed."""
    declared = data.get(dataset, request.data_dir)
    steps = declared.discriminator_steps if request.discriminator_steps is None else request.discriminator_steps
    width = declared.width if width is None else width
    return Training(discriminator_steps=steps, width=width, precision=request.precision)


def plan_trial(request: Request, method: Method, hyperparameters: Hyperparameters, seed: int) -> Planned:
    """The single trial of `study train`."""
    (dataset,) = request.datasets
    training = training_of(request, dataset)
    context, shape = make_context(request, dataset)
    trial = Trial(
        dataset=dataset, method=canonical(method), hyperparameters=hyperparameters, training=training, seed=seed
    )
    build(trial, *shape)
    return Planned(trial=trial, context=context, shape=shape)


def make_plan(request: Request, space: SearchSpace) -> list[Planned]:
    """All trials of a space, seed by seed; each once. Raises InputError for whatever cannot run."""
    planned: dict[tuple[str, str], Planned] = {}
    for dataset in request.datasets:
        context, shape = make_context(request, dataset)
        base = training_of(request, dataset)
        trials = trials_of(request, space, dataset, context.protocol.id)
        for trial in trials:
            parent = replace(trial, training=base) if trial.training != base else None
            one = Planned(trial=trial, context=context, shape=shape, parent=parent)
            planned.setdefault(one.key, one)
        for trial in {trial.method: trial for trial in trials}.values():
            build(trial, *shape)
    return list(planned.values())


def trials_of(request: Request, space: SearchSpace, dataset: str, protocol_id: str | None = None) -> list[Trial]:
    """The trials of a space on a dataset, seed by seed, each once, from what is declared: no image is needed.

    A space that chooses from rows takes those of the protocol, or whichever there are where it is None.

    Raises InputError for names and numbers that make no sense, and where there is nothing to choose from.
    """
    declared, base = data.get(dataset, request.data_dir), training_of(request, dataset)
    if space.choose:
        space = _chosen(request, space, dataset, base, protocol_id)
    asked = Narrowing(
        architecture=request.architecture,
        methods=request.methods,
        settings=request.settings,
        seeds=request.seeds,
        n_dis=request.n_dis,
        many=request.many,
    )
    training = replace(base, discriminator_steps=space.steps(base.discriminator_steps))
    settings = expand(space, declared, asked)
    trials = (
        Trial(
            dataset=dataset,
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


def _chosen(
    request: Request, space: SearchSpace, dataset: str, training: Training, protocol_id: str | None
) -> SearchSpace:
    """The space with what it chooses from rows of whole trials of this length.

    Rows that are there only since this space chose them do not count, so the choice is the same after its trials have
    run. Raises InputError where there is nothing to choose.
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
            and belongs.get(row["trial_id"]) != {space.name}
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
    """Those that are not done yet: trained and scored under their protocol, or failed unless those are retried.

    One that was stopped early is done only where trials need not be `whole`. One that finished under another protocol,
    and whose best generator is kept, is only to be scored (`kept`), and in no pack. One that has a `parent` keeps it
    where that left a state to go on from; standard error says why one cannot be used.

    Raises InputError where the folder's rows are about other images of the same name.
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
        print(f"{count} of the trials are trained from the start: {reason}", file=sys.stderr)
    return todo


def _usable_parent(planned: Planned, refused: Counter[str]) -> Trial | None:
    """The parent where its state can be gone on from; why it cannot is counted."""
    if planned.parent is None or planned.kept:
        return None
    context = planned.context
    try:
        found = continuation(planned.trial, planned.parent, context.results, context.conditions, peek=True)
    except Unreadable:
        return planned.parent  # the worker sees, when its turn comes
    except InputError as error:
        refused[str(error)] += 1
        return None
    return planned.parent if found else None
