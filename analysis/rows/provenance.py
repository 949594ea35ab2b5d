"""The metric protocols of the scores; the versions, machines and times of the trials."""

import pandas as pd

from analysis.rows.view import Rows
from study.storage.schema import score_label

PROTOCOL = (
    "extractor",
    "weights_sha256",
    "n_real",
    "n_fake",
    "split",
    "resize",
    "quantize",
    "dtype",
    "protocol_seed",
    "kid_subset",
    "feature_precision",
)
RUN = ("study_version", "code_revision", "semantics", "torch", "python", "host", "device", "source", "precision")


def protocols(rows: Rows) -> pd.DataFrame:
    """The metric protocols of the folder, one row per protocol and dataset.

    Returns:
        dataset, protocol_id, shown (whether figures and tables show these rows), trials (number of rows),
        score_label, and the fields of the protocol.
    """
    keys = ["dataset", "protocol_id"]
    groups = rows.everything.groupby(keys)
    result = groups[list(PROTOCOL)].first().assign(trials=groups.size())
    shown = pd.MultiIndex.from_frame(rows.trials[keys].drop_duplicates())
    result["shown"] = result.index.isin(shown)
    result["score_label"] = [score_label(row) for _, row in result.iterrows()]
    return result.reset_index()[[*keys, "shown", "trials", "score_label", *PROTOCOL]]


def provenance(rows: Rows) -> pd.DataFrame:
    """Images, versions and machines of the trials: each value of each field, with its number of rows.

    Returns:
        field, value (text; "not recorded" if empty), trials; the images first (dataset and
        dataset_sha256), then versions and machines.
    """
    trials = rows.trials
    images = (trials["dataset"] + " " + trials["dataset_sha256"]).value_counts()
    source = trials["source"].fillna("training")
    continued = source.str.startswith("continued from ")
    trials = trials.assign(source=source.where(~continued, "continued from a shorter trial"))
    values = {name: trials[name].astype(object).fillna("not recorded").value_counts() for name in RUN}
    return pd.DataFrame(
        [
            {"field": field, "value": str(value), "trials": int(count)}
            for field, counts in {"images": images, **values}.items()
            for value, count in counts.items()
        ]
    )


def times(rows: Rows) -> dict[str, object]:
    """started, ended (timestamps; NaT if unknown), total training_seconds and scoring_seconds.

    If a clock was set back, trials may have ended before they started; what is called ended is then the last start.
    """
    trials = rows.trials
    return {
        "started": trials["started_at"].min(),
        "ended": trials[["started_at", "finished_at"]].max().max(),
        "training_seconds": float(trials["training_seconds"].sum()),
        "scoring_seconds": float(trials["scoring_seconds"].sum()),
    }
