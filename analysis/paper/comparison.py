"""The paper's numbers beside ours: which may be compared, and in what the others differ."""

from typing import Any

import pandas as pd

from analysis.paper import box_n_dis, boxes, facts
from study.storage.schema import score_label

FIXED = {"width": 64, "batch_size": 64, "latent_dim": 128}
"""What the study held fixed for all its trials, but for their length (section 2)."""
BOX_KEY = ["dataset", "architecture", "method", "box"]


def protocol_difference(row: "pd.Series[Any]", images: float | None) -> str:
    """In what the metric protocol of a row differs from the paper's, so many images a side (section 4); "" for nothing.

    Only where it is "" is a difference to the paper's FID taken: another protocol alone can change an FID by a tenth.
    """
    label = score_label(row)
    said = [] if label == "FID" else [f"{label} is not an FID"]
    for column, words in (("n_real", "real"), ("n_fake", "generated")):
        if images is not None and row[column] != images:
            said.append(f"{row[column]:,.0f} {words} images instead of {images:,.0f}")
    said += [f"real images of the {row['split']} split"] if row["split"] != "test" else []
    said += ["rounded to uint8"] if row["quantize"] else []
    return ", ".join(said)


def training_difference(row: "pd.Series[Any]", steps: float | None) -> str:
    """In what the training of a row differs from one of the study's with so many D updates; "" where in nothing."""
    wanted = {**({} if steps is None else {"discriminator_steps": steps}), **FIXED}
    return ", ".join(
        f"{column.replace('_', ' ')} {row[column]:,.0f} instead of {value:,.0f}"
        for column, value in wanted.items()
        if row[column] != value
    )


def paired_boxes(rows: pd.DataFrame) -> pd.DataFrame:
    """The boxes of the paper's Figures 1 to 4 on the datasets of these rows, each with what we have of it.

    Args:
        rows: of `scored` or `top_fraction`.

    Returns:
        The columns of `boxes`, once for each method of ours that a box holds, with method_label (ours;
        missing where the rows have none), protocol and training (in what they differ from the paper's; "" for nothing).
    """
    ours = rows.drop_duplicates(["dataset", "method_label"])
    ours = ours.assign(box=box_n_dis(ours).fillna(0), protocol="", training="")
    images, steps = facts("fid_images"), facts("discriminator_steps")
    if len(ours):
        ours["protocol"] = [protocol_difference(row, images.get(row["dataset"])) for _, row in ours.iterrows()]
        ours["training"] = [training_difference(row, steps.get(row["dataset"])) for _, row in ours.iterrows()]
    theirs = boxes()
    theirs = theirs[theirs["dataset"].isin(rows["dataset"].unique())]
    theirs = theirs.assign(box=box_n_dis(theirs).fillna(0))
    merged = theirs.merge(ours[[*BOX_KEY, "method_label", "protocol", "training"]], on=BOX_KEY, how="left")
    return merged.drop(columns="box")


def comparable(beside: pd.DataFrame) -> pd.DataFrame:
    """The rows of `paired_boxes` that a figure may show beside ours: found, on the plot, of the same protocol."""
    return beside[beside["method_label"].notna() & (beside["protocol"] == "") & beside["median"].notna()]


def paper_caption(beside: pd.DataFrame) -> list[str]:
    """What a reader must know of the paper's boxes in a figure, and why some are not there; one sentence each.

    Args:
        beside: rows of `paired_boxes`.
    """
    found, shown = beside[beside["method_label"].notna()], comparable(beside)
    lines = []
    if len(shown):
        errors: dict[str, list[str]] = {}
        for number, rows in shown.groupby("figure"):
            of = rows.groupby("dataset")["error"].max()
            said = ", ".join(f"{error:g} on {dataset}" for dataset, error in of.items())
            errors.setdefault(said, []).append(str(number))
        figures = "; ".join(f"Figure {', '.join(numbers)} (+-{said})" for said, numbers in errors.items())
        sure = ", ".join(sorted(set(shown["certainty"])))
        lines.append(f"The paper's boxes: {figures} of Kurach et al. (2019), {sure}, read off the plots.")
    for column, words in (("protocol", "not shown:"), ("training", "trained differently:")):
        for dataset, rows in (found if column == "protocol" else shown).groupby("dataset"):
            differences = sorted(set(rows[column]) - {""})
            if differences:
                lines.append(f"The paper's boxes of {dataset} are {words} {'; '.join(differences)}.")
    return lines
