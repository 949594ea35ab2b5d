"""A folder as people have it: files of every kind, size and state; what comes out is counted kind by kind."""

import numpy as np
import pytest

from study import data

from .pictures import mixed_folder

N_FAST, N_LARGE = 120, 500
LEFT_OUT = {"corrupt": "does not decode", "float": "colour mode without a unique conversion to 8 bits"}
LEFT_OUT |= {"tiny": "smaller than 64 px, cannot be cropped"}
TREATED = {
    "alpha": ["alpha"],
    "palette": ["palette"],
    "cmyk": ["CMYK"],
    "rgb-16": ["16-bit"],
    "grey": ["grey"],
    "rotated": ["rotated"],
}
TREATED |= {"grey-16": ["16-bit", "grey"], "gif": ["animated", "palette"]}


@pytest.mark.parametrize("n", [N_FAST, pytest.param(N_LARGE, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_every_kind_is_treated_and_counted(tmp_path, n, fit):
    counts = mixed_folder(tmp_path / "mixed", n)
    made = data.prepare("mixed", tmp_path / "mixed", tmp_path / "data", resolution=64, fit=fit)
    report = "\n".join(data.report_lines(made.manifest))
    print(report)

    images = n - counts["beside"] - counts["hidden"]
    assert made.manifest["read_as"]["passed_over"] == {
        "not an image by its name (.txt)": {"count": counts["beside"], "first": "beside-0014.txt"},
        "hidden": {"count": counts["hidden"], "first": ".hidden-0018.png"},
    }
    left_out = {reason: counts[kind] for kind, reason in LEFT_OUT.items() if fit == "crop" or kind != "tiny"}
    left_out["not an image that Pillow can read"] = counts["text"] + counts["empty"]
    treated = dict.fromkeys({kind for kinds in TREATED.values() for kind in kinds}, 0)
    for kind, kinds in TREATED.items():
        for name in kinds:
            treated[name] += counts[kind]
    done = made.manifest["images"]
    changed = {name: done["treated"].pop(name, 0) for name in ("cropped", "padded", "resized")}
    assert done["read"] == images and done["left_out"] == left_out and done["treated"] == treated
    kept = images - sum(left_out.values())
    assert sum(split["shape"][0] for split in made.manifest["splits"].values()) == kept
    assert changed["padded"] == (counts["tiny"] if fit == "pad" else 0)
    assert (changed["resized"] > kept / 2) == (fit == "resize")
    assert f"read {images} images" in report and "(the first: corrupt-" in report

    loaded = data.verify("mixed", tmp_path / "data")
    assert loaded.train.shape[1:] == (3, 64, 64)
    again = data.prepare("mixed", tmp_path / "mixed", tmp_path / "again", resolution=64, fit=fit)
    assert again.manifest["sha256"] == loaded.sha256
    assert all(np.asarray(image).max() > 0 for image in loaded.train)
