"""Compare our numbers with the paper's: which are comparable, and how the others differ."""

from typing import Any

import pandas as pd

from analysis.paper import box_n_dis, boxes, facts
from study.storage.schema import score_label

FIXED = {"width": 64, "batch_size": 64, "latent_dim": 128}
"""Fields of the training that the study held fixed in all trials (section 2); the number of updates varied."""
BOX_KEY = ["dataset", "architecture", "method", "box"]


def protocol_difference(row: "pd.Series[Any]", images: float | None) -> str:
    """Differences between the metric protocol of a row and the paper's (section 4), in words; "" if there are none.

    Differences to the paper's FID are computed only if it is "": another protocol alone can change an FID by 10 %.

    Args:
        row: with the columns of a metric protocol.
        images: the paper's number of images on each side; None if unknown.
    """
    label = score_label(row)
    texts = [] if label == "FID" else [f"{label} is not an FID"]
    for column, words in (("n_real", "real"), ("n_fake", "generated")):
        if images is not None and row[column] != images:
            texts.append(f"{row[column]:,.0f} {words} images instead of {images:,.0f}")
    texts += [f"real images of the {row['split']} split"] if row["split"] != "test" else []
    texts += ["rounded to uint8"] if row["quantize"] else []
    return ", ".join(texts)


def training_difference(row: "pd.Series[Any]", steps: float | None) -> str:
    """Differences between the training of a row and the paper's, with `steps` D updates, in words; "" if none."""
    expected = {**({} if steps is None else {"discriminator_steps": steps}), **FIXED}
    return ", ".join(
        f"{column.replace('_', ' ')} {row[column]:,.0f} instead of {value:,.0f}"
        for column, value in expected.items()
        if row[column] != value
    )


def paired_boxes(rows: pd.DataFrame) -> pd.DataFrame:
    """The boxes of the paper's Figures 1 to 4 on the datasets of these rows, each with our corresponding method.

    Args:
        rows: of `scored` or `top_fraction`.

    Returns:
        The columns of `boxes`, once for each method of ours in a box, with method_label (ours;
        missing if the rows have none), protocol and training (differences to the paper's, in words; "" if none).
    """
    ours = rows.drop_duplicates(["dataset", "method_label"])
    ours = ours.assign(box=box_n_dis(ours).fillna(0), protocol="", training="")
    images, steps = facts("fid_images"), facts("discriminator_steps")
    if len(ours):
        ours["protocol"] = [protocol_difference(row, images.get(row["dataset"])) for _, row in ours.iterrows()]
        ours["training"] = [training_difference(row, steps.get(row["dataset"])) for _, row in ours.iterrows()]
    paper = boxes()
    paper = paper[paper["dataset"].isin(rows["dataset"].unique())]
    paper = paper.assign(box=box_n_dis(paper).fillna(0))
    merged = paper.merge(ours[[*BOX_KEY, "method_label", "protocol", "training"]], on=BOX_KEY, how="left")
    return merged.drop(columns="box")


def comparable(paired: pd.DataFrame) -> pd.DataFrame:
    """The rows of `paired_boxes` that a figure can show with ours: with our method, a median, and the same protocol."""
    return paired[paired["method_label"].notna() & (paired["protocol"] == "") & paired["median"].notna()]


def paper_caption(paired: pd.DataFrame) -> list[str]:
    """Sentences of the caption about the paper's boxes in a figure, and the reasons why others are not shown.

    Args:
        paired: rows of `paired_boxes`.
    """
    result, shown = paired[paired["method_label"].notna()], comparable(paired)
    lines = []
    if len(shown):
        errors: dict[str, list[str]] = {}
        for number, rows in shown.groupby("figure"):
            of = rows.groupby("dataset")["error"].max()
            texts = ", ".join(f"{error:g} on {dataset}" for dataset, error in of.items())
            errors.setdefault(texts, []).append(str(number))
        figures = "; ".join(f"Figure {', '.join(numbers)} (+-{texts})" for texts, numbers in errors.items())
        sure = ", ".join(sorted(set(shown["certainty"])))
        lines.append(f"The paper's boxes: {figures} of Kurach et al. (2019), {sure}, read off the plots.")
    for column, words in (("protocol", "not shown:"), ("training", "trained differently:")):
        for dataset, rows in (result if column == "protocol" else shown).groupby("dataset"):
            differences = sorted(set(rows[column]) - {""})
            if differences:
                lines.append(f"The paper's boxes of {dataset} are {words} {'; '.join(differences)}.")
    return lines
