"""The paper's numbers: typed, sourced, the same as the published settings, and beside ours only where comparable."""

import math

import pandas as pd
import pytest

from analysis.figures import figures
from analysis.paper import BOX, TABLES, box_n_dis, boxes, check, facts, load_paper, published
from analysis.paper.comparison import comparable, paired_boxes, paper_caption
from analysis.rows.load import load, select
from analysis.rows.scores import HYPERPARAMETERS, labels, scored
from analysis.rows.view import open_rows
from search_spaces import get
from study.core.errors import InputError
from study.core.evaluation import MetricProtocol
from study.core.trial import Method
from study.storage.schema import INCEPTION_SHA256

CELEBA, LSUN = "celeba-hq-128", "lsun-bedroom-128"
FID = {"extractor": "inception-v3-compat", "weights_sha256": INCEPTION_SHA256, "resize": "tf1-bilinear-299"}
PAPER = MetricProtocol(n_real=3000, n_fake=3000, **FID)
RESNET = Method(architecture="resnet19")
RESNET_SN = Method(architecture="resnet19", normalizations=("spectral_norm",))
RESNET_GP = Method(architecture="resnet19", penalty="gradient_penalty")


@pytest.mark.parametrize(
    ("name", "rows"), [("figure1", 16), ("figure2", 16), ("figure3", 16), ("figure4", 18), ("published", 31)]
)
def test_a_file_is_whole_typed_and_sourced(name, rows):
    frame = load_paper(name)
    assert len(frame) == rows
    assert frame["source"].str.len().min() > 0
    assert {str(frame[column].dtype) for column in TABLES[name] if TABLES[name][column] == "float64"} == {"float64"}
    assert set(frame["certainty"]) == ({"CERTAIN"} if name == "published" else {"LIKELY"})
    assert not frame.duplicated([column for column in frame.columns if column not in ("source", "note")]).any()


def test_a_name_that_is_no_file_is_an_input_error():
    with pytest.raises(InputError, match="load_paper figure5: unknown; did you mean figure4"):
        load_paper("figure5")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("certainty", "PERHAPS", "needs a source and a certainty"),
        ("source", "", "needs a source and a certainty"),
        ("q1", 1000.0, "must ascend"),
        ("whisker_high", 0.0, "must ascend"),
    ],
)
def test_a_damaged_file_is_refused(column, value, said):
    frame = load_paper("figure1")
    frame.loc[3, column] = value
    with pytest.raises(ValueError, match=said):
        check("figure1", frame)
    with pytest.raises(ValueError, match="its columns are"):
        check("figure1", frame.drop(columns="note"))


@pytest.mark.parametrize(
    ("figure", "dataset", "label", "numbers"),
    [
        (1, CELEBA, "W/O", [32.3, 38.0, 40.9, 42.6, 44.8]),
        (1, LSUN, "L2", [118, 128, 142, 152, 158]),
        (2, LSUN, "LS SN", [28, 28.5, 30, 32, 33.5]),
        (3, LSUN, "SNDCGAN GP5", [133.5, 134, 135.5, 136.5, 140]),
        (4, CELEBA, "GP LN 5", [math.nan, 32, 34, 36, math.nan]),
    ],
)
def test_some_boxes_as_they_were_read(figure, dataset, label, numbers):
    frame = load_paper(f"figure{figure}")
    (row,) = frame[(frame["dataset"] == dataset) & (frame["label"] == label)].to_dict("records")
    assert [row[name] for name in BOX] == pytest.approx(numbers, nan_ok=True, abs=0)


def test_what_leaves_the_plot_is_a_bound():
    frame = boxes()
    bounds = frame[frame["at_least"] != ""].set_index(["figure", "dataset", "label"])["at_least"]
    assert bounds.to_dict() == {(1, LSUN, "DR"): "whisker_high", (4, CELEBA, "GP BN"): "q3"}
    off = frame[frame["median"].isna()]
    assert off[["figure", "dataset", "label", "outliers"]].to_numpy().tolist() == [[4, CELEBA, "GP LN", "45"]]


def test_the_boxes_show_what_the_paper_says():
    """C1, C2 and C4 of its findings, each in the pairs in which it is said to hold; a swapped row would break them."""
    frame = boxes((1, 2, 3)).set_index(["figure", "dataset", "label"])["median"]
    for dataset in (CELEBA, LSUN):
        pairs = [(1, "SN", "W/O"), (2, "NS SN", "NS"), (2, "LS SN", "LS"), (3, "ResNet19 SN", "ResNet19 W/O")]
        for figure, better, worse in [*pairs, (3, "SNDCGAN SN", "SNDCGAN W/O"), (1, "W/O", "BN"), (1, "GP5", "GP")]:
            assert frame[figure, dataset, better] < frame[figure, dataset, worse]
        assert frame[3, dataset, "ResNet19 GP5"] < frame[3, dataset, "ResNet19 GP"]
        assert frame[3, dataset, "SNDCGAN GP5"] > frame[3, dataset, "SNDCGAN GP"]


def test_boxes_are_found_by_the_names_of_our_methods():
    frame = boxes((1, 2))
    names = frame[frame["dataset"] == CELEBA].set_index("label")["method"]
    assert names[["W/O", "GP5", "SN", "NS", "WGAN SN", "LS GP5"]].tolist() == [
        "none",
        "gradient_penalty",
        "spectral_norm",
        "none",
        "wasserstein+spectral_norm",
        "least_squares+gradient_penalty",
    ]
    n_dis = box_n_dis(frame[frame["figure"] == 1]).groupby(frame["label"]).first()
    assert (n_dis["GP"], n_dis["GP5"], n_dis.drop(["GP", "GP5"]).isna().all()) == (1, 5, True)


def test_the_published_models_are_those_of_the_search_space():
    """31 models, 29 settings, to the last digit, and twins as the seeds 0 and 1."""
    listed = {
        (entry.dataset, Method(**entry.method), *entry.values.values(), seed, fid)
        for entry in get("published").blocks
        for seed, fid in enumerate(entry.published)
    }
    rows = published()
    assert list(next(iter(get("published").blocks)).values) == list(HYPERPARAMETERS)
    ours = {
        (row["dataset"], _method(row), *(_plain(row[name]) for name in HYPERPARAMETERS), row["seed"], row["fid"])
        for row in rows.to_dict("records")
    }
    assert len(listed) == len(ours) == len(rows) == 31
    assert ours == listed
    assert [_method(row).name for row in rows.to_dict("records")] == rows["method"].tolist()


def _method(row):
    normalizations = tuple(filter(None, row["normalizations"].split("+")))
    return Method(
        architecture=row["architecture"],
        loss=row["loss"],
        normalizations=normalizations,
        penalty=row["penalty"] or None,
    )


def _plain(value):
    return None if pd.isna(value) else value


def test_the_facts_of_the_datasets():
    assert facts("fid_train_test").to_dict() == {"cifar10": 5.19, CELEBA: 12.6, LSUN: 3.8}
    assert facts("kid_fid_spearman").to_dict() == {CELEBA: 0.995, LSUN: 0.994}
    assert facts("fid_images").to_dict() == {"cifar10": 10_000, CELEBA: 3000, LSUN: 10_000}
    assert facts("discriminator_steps").to_dict() == {"cifar10": 200_000, CELEBA: 100_000, LSUN: 100_000}


@pytest.fixture
def on_celeba(study):
    """W/O, SN and GP at n_dis 1, 5 and 3 with resnet19 on CelebA-HQ, under the paper's protocol."""
    how = {"dataset": CELEBA, "protocol": PAPER}
    study.add_many(RESNET, [40.0, 41.0], **how)
    study.add_many(RESNET_SN, [33.0], **how)
    for n_dis in (1, 5, 3):
        study.add_many(RESNET_GP, [30.0 + n_dis], n_dis=n_dis, **how)
    return study


def test_boxes_find_the_method_of_ours_that_they_hold(on_celeba):
    beside = paired_boxes(scored(select(load(on_celeba.folder))))
    assert len(beside) == 33 and set(beside["dataset"]) == {CELEBA}
    found = beside[beside["method_label"].notna()].set_index(["figure", "label"])["method_label"]
    assert found.to_dict() == {
        (1, "W/O"): "W/O",
        (1, "GP"): "GP",
        (1, "GP5"): "GP 5",
        (1, "SN"): "SN",
        (2, "NS"): "W/O",
        (2, "NS SN"): "SN",
        (2, "NS GP5"): "GP 5",
        (3, "ResNet19 W/O"): "W/O",
        (3, "ResNet19 GP"): "GP",
        (3, "ResNet19 GP5"): "GP 5",
        (3, "ResNet19 SN"): "SN",
    }, "GP 3 is in no box of the paper's, and nothing of ours is in a box of sndcgan"
    assert "GP 3" in set(labels(load(on_celeba.folder)))


def test_captions_say_which_figures_how_certain_and_what_differs(on_celeba):
    beside = paired_boxes(scored(select(load(on_celeba.folder))))
    first, second = paper_caption(beside)
    assert first == (
        "The paper's boxes: Figure 1, 2, 3 (+-0.3 on celeba-hq-128) of Kurach et al. (2019), LIKELY, "
        "read off the plots."
    )
    assert second == (
        "The paper's boxes of celeba-hq-128 are trained differently: discriminator steps 250 instead of 100,000, "
        "width 16 instead of 64."
    )


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=3000, n_fake=3000), "is not an FID"),
        (MetricProtocol(n_real=3000, n_fake=2000, **FID), "2,000 generated images instead of 3,000"),
        (MetricProtocol(n_real=3000, n_fake=3000, quantize=True, **FID), "rounded to uint8"),
        (MetricProtocol(n_real=3000, n_fake=3000, split="train", **FID), "real images of the train split"),
    ],
)
def test_another_protocol_is_never_beside_the_paper(study, protocol, said):
    study.add_many(RESNET, [40.0], dataset=CELEBA, protocol=protocol)
    rows = open_rows(study.folder)
    frames = figures()["top"].compute(rows)
    assert frames["paper"].empty
    caption = figures()["top"].caption(rows, frames)
    assert f"boxes of {CELEBA} are not shown:" in caption and said in caption
    assert "Narrow, hollow" not in caption
    assert figures()["budget"].compute(rows)["paper"].empty


def test_figures_draw_the_paper_beside_ours(on_celeba):
    rows = open_rows(on_celeba.folder)
    kind = figures()["top"]
    frames = kind.compute(rows)
    assert len(frames["paper"]) == 11
    figure = kind.draw(frames, kind.caption(rows, frames))
    heights = {float(end) for line in figure.axes[0].lines for end in line.get_ydata()}
    assert {32.3, 38.0, 40.9, 42.6, 44.8, 54.4} <= heights
    kind = figures()["budget"]
    frames = kind.compute(rows)
    assert "not of a particular budget" in kind.caption(rows, frames)
    figure = kind.draw(frames, kind.caption(rows, frames))
    diamonds = [float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_marker() == "D"]
    low, high = figure.axes[0].get_ylim()
    assert sorted(diamonds) == sorted(m for m in frames["paper"]["median"] if low <= m <= high)
    assert len(diamonds) > 3


def test_other_datasets_have_nothing_beside_them(small_study):
    rows = open_rows(small_study.folder)
    beside = paired_boxes(rows.scored)
    assert beside.empty and comparable(beside).empty and paper_caption(beside) == []
    assert "paper" not in figures()["budget"].caption(rows, figures()["budget"].compute(rows))
