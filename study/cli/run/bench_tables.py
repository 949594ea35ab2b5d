"""How the rows of `study bench` are shown."""

from collections.abc import Callable
from typing import Any

CAPTION = """\
images/s: real images, of all trials of a pack; median of the turns. ratio: to the plain loop, by pairs, with its range.
plain: eager PyTorch in float32 without TF32, or beside a tf32 row with it; one trial at a time.
ms/D update: with its share of G's updates. memory: what training adds, on a CPU to the process, on a GPU as allocated.
GFLOP/image: of convolutions and matrix products, after exact rewrites. of peak: of a large matrix product's rate."""
PACKS_CAPTION = """\
K: images per second of K trials in one program over those of one alone; medians over methods and turns.
pack: the fewest trials that gain nearly as much as any number does; 1 where no number gains a tenth."""
SCORING_CAPTION = """\
training: the D updates between two checkpoints, with G's. scoring: generating and scoring the images once."""


def _title(rows: list[dict[str, Any]]) -> str:
    """Where, when and with what it was measured."""
    names = ", ".join(dict.fromkeys(row["device_name"] for row in rows))
    return f"{names}; torch {rows[0]['torch']}; {rows[0]['measured_at'][:10]}"


def block(rows: list[dict[str, Any]]) -> Any:
    """The rows in words, as `analysis.tables` prints them."""
    cells: dict[str, list[str]] = {name: [str(row[name]) for row in rows] for name in ("architecture", "method")}
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "px": lambda row: f"{row['resolution']}",
        "width": lambda row: f"{row['width']}",
        "batch": lambda row: f"{row['batch']}",
        "n_dis": lambda row: f"{row['n_dis']}",
        "precision": lambda row: row["precision"],
        "pack": lambda row: f"{row['pack']}",
        "device": lambda row: row["device"],
        "threads": lambda row: f"{row['threads']}" if row["device"] == "cpu" else "-",
        "images/s": lambda row: f"{row['images_per_second']:.4g}",
        "plain images/s": lambda row: f"{row['plain_images_per_second']:.4g}",
        "ratio": lambda row: f"{row['ratio']:.2f} [{row['ratio_lowest']:.2f}, {row['ratio_highest']:.2f}]",
        "ms/D update": lambda row: f"{row['milliseconds_per_discriminator_update']:.4g}",
        "memory, MB": lambda row: (
            "-" if row["memory_growth_bytes"] is None else f"{row['memory_growth_bytes'] / 1e6:.0f}"
        ),
        "GFLOP/image": lambda row: f"{row['flops_per_image'] / 1e9:.3g}",
        "of peak": lambda row: f"{100 * row['share_of_peak']:.0f} %",
    }
    cells |= {name: [word(row) for row in rows] for name, word in columns.items()}
    return _title(rows), cells


def packs_block(rows: list[dict[str, Any]]) -> Any:
    """The rows in words."""
    names = ("architecture", "width", "resolution", "batch_size", "device")
    cells = {name.replace("_", " "): [str(row[name]) for row in rows] for name in names}
    for count in dict.fromkeys(count for row in rows for count in row["gains"]):
        cells[f"K {count}"] = [f"{row['gains'][count]:.2f}" if count in row["gains"] else "-" for row in rows]
    cells["pack"] = [str(row["pack"]) for row in rows]
    return _title(rows), cells


def scoring_block(rows: list[dict[str, Any]]) -> Any:
    """The rows in words."""
    names = ("dataset", "architecture", "method", "extractor", "scored_images", "checkpoint_every")
    cells = {name.replace("_", " "): [str(row[name]) for row in rows] for name in names}
    cells["scoring, s"] = [f"{row['scoring_seconds']:.3g}" for row in rows]
    cells["training, s"] = [f"{row['training_seconds']:.3g}" for row in rows]
    cells["share"] = [f"{100 * row['share']:.3g} %" for row in rows]
    return _title(rows), cells
