"""Cost of scoring compared with training: seconds per checkpoint and seconds of training up to it."""

import statistics
from dataclasses import dataclass
from typing import Any

import torch

from study.metrics.scoring import Scorer
from study.training.bench.cases import Case
from study.training.bench.limits import wall_clock
from study.training.bench.loops import Inputs, StudyLoop, fresh_state
from study.training.device import prepare_process


@dataclass(frozen=True, kw_only=True)
class ScoringRow:
    """The results for scoring.

    Attributes:
        case: what was trained.
        dataset: the dataset whose images were scored against.
        scorer: with its protocol, extractor and metrics.
        checkpoint_every: D updates between scored checkpoints.
        scoring: median seconds of scoring once.
        update: median seconds of one D update, with its share of the G update.
    """

    case: Case
    dataset: str
    scorer: Scorer
    checkpoint_every: int
    scoring: float
    update: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        protocol, training = self.scorer.protocol, self.checkpoint_every * self.update
        return {
            "dataset": self.dataset,
            **self.case.to_dict(),
            "extractor": protocol.extractor,
            "weights_sha256": protocol.weights_sha256,
            "metrics": list(self.scorer.metrics),
            "scored_images": protocol.n_fake,
            "checkpoint_every": self.checkpoint_every,
            "scoring_seconds": self.scoring,
            "training_seconds": training,
            "share": self.scoring / training,
        }


def measure_scoring(case: Case, dataset: str, scorer: Scorer, checkpoint_every: int, repeats: int) -> ScoringRow:
    """The results for a trial of `dataset`, in wall-clock seconds; the first score and the first cycle are not counted.

    Raises InputError if the machine cannot run the case.
    """
    case.check()
    prepare_process(deterministic=False)
    state, latent_dim = fresh_state(case), case.trial.training.latent_dim
    loop = StudyLoop(case, state, case.device)
    inputs = Inputs.draw(case, case.n_dis, torch.Generator(case.device).manual_seed(1))
    seconds: list[tuple[float, float]] = []
    for _ in range(1 + repeats):
        start = wall_clock(case.device)
        scorer.score(lambda z: case.gan.sample(state.generator, state.generator_buffers, z.to(case.device)), latent_dim)
        between = wall_clock(case.device)
        loop.run(*inputs)
        seconds.append((between - start, wall_clock(case.device) - between))
    scoring, cycle = (statistics.median(column) for column in zip(*seconds[1:], strict=True))
    return ScoringRow(
        case=case,
        dataset=dataset,
        scorer=scorer,
        checkpoint_every=checkpoint_every,
        scoring=scoring,
        update=cycle / case.n_dis,
    )
