"""The tables that `study bench` prints."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.tables import Block

CAPTION = """\
images/s: real images per second, summed over the trials of a pack; median. ratio: to the plain loop, with its range.
plain: eager PyTorch in float32, with TF32 only in tf32 rows; it trains one trial at a time.
ms/D update: includes its share of the G updates. memory: added by training, to the process (CPU) or allocated (GPU).
GFLOP/image: convolutions, counted as direct ones, and matrix products, after exact rewrites. of peak: relative to one
large matrix product; a CPU can exceed 100 %, because Winograd's convolutions need fewer multiplications."""
PACKS_CAPTION = """\
K: images per second of K trials in one program, divided by those of one trial alone; medians over methods and repeats.
pack: the smallest K whose speedup is close to the largest one; 1 if no speedup reaches 10 %."""
SCORING_CAPTION = """\
training: the D and G updates between two checkpoints. scoring: generating and scoring the images once."""


def _title(rows: list[dict[str, Any]]) -> str:
    """The devices with a CPU's instructions, the PyTorch version and the date of the measurements."""
    names = ", ".join(dict.fromkeys(" ".join([row["device_name"], *row.get("instructions", [])]) for row in rows))
    return f"{names}; torch {rows[0]['torch']}; {rows[0]['measured_at'][:10]}"


def block(rows: list[dict[str, Any]]) -> "Block":
    """The table of training speeds."""
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


def packs_block(rows: list[dict[str, Any]]) -> "Block":
    """The table of pack sizes."""
    names = ("architecture", "width", "resolution", "batch_size", "device")
    cells = {name.replace("_", " "): [str(row[name]) for row in rows] for name in names}
    for count in dict.fromkeys(count for row in rows for count in row["gains"]):
        cells[f"K {count}"] = [f"{row['gains'][count]:.2f}" if count in row["gains"] else "-" for row in rows]
    cells["pack"] = [str(row["pack"]) for row in rows]
    return _title(rows), cells


def scoring_block(rows: list[dict[str, Any]]) -> "Block":
    """The table of scoring times."""
    names = ("dataset", "architecture", "method", "extractor", "scored_images", "checkpoint_every")
    cells = {name.replace("_", " "): [str(row[name]) for row in rows] for name in names}
    cells["scoring, s"] = [f"{row['scoring_seconds']:.3g}" for row in rows]
    cells["training, s"] = [f"{row['training_seconds']:.3g}" for row in rows]
    cells["share"] = [f"{100 * row['share']:.3g} %" for row in rows]
    return _title(rows), cells
