"""The same rows are the same bytes, in any process at any place: figures in every format, pages, tables."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from analysis.figures import figures
from study.core.trial import Method
from study.storage.schema import DIVERGED, FAILED

PROGRAM = """
import hashlib, json, sys
from pathlib import Path

from analysis import open_rows
from analysis.figures import figures
from analysis.figures.drawing.files import save
from analysis.page import compose, write_html, write_markdown
from analysis.tables import LAYOUTS, csv, tables

rows, out = open_rows(sys.argv[1]), Path(sys.argv[2])
page = compose(rows)
write_html(page, out / "page.html")  # which has each figure as SVG, and the other one as PNG
write_markdown(page, out / "page.md")
for name, kind in figures().items():
    frames = kind.compute(rows)
    save(kind.draw(frames, kind.caption(rows, frames)), out / f"{name}.pdf")
table = tables()["best"]
frame = table.compute(rows)
texts = [csv(frame), *(layout(table.words(frame), table.caption(rows, frame)) for layout in LAYOUTS.values())]
(out / "texts").write_text("".join(texts), encoding="utf-8")
files = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()) for path in out.rglob("*") if path.is_file()}
print(json.dumps({name: content.hexdigest() for name, content in files.items()}))
"""
PLACES = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "NPT-5:45", "LC_ALL": "de_DE.UTF-8"},
)


@pytest.mark.full
def test_the_same_rows_are_the_same_bytes_in_every_process(study, methods, tmp_path):
    rng = np.random.default_rng(0)
    for method in (methods["none"], methods["spectral_norm"], Method(architecture="sndcgan", loss="a_loss")):
        for rate in range(1, 5):
            scores = [[float(score), float(score) / 2] for score in rng.uniform(10, 100, 3)]
            study.add_many(method, [*scores, DIVERGED], learning_rate=rate * 1e-3, measured=True)
    study.search([[50.0, DIVERGED], [30.0, FAILED]])
    study.random([40.0, 60.0, 20.0])
    folder = study.compact()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(tmp_path / place["PYTHONHASHSEED"])],
            env={**os.environ, **place},
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in PLACES
    ]
    here, there = (json.loads(process.communicate()[0]) for process in started)
    drawn = {name for figure in figures() for name in (f"{figure}.pdf", f"figures/{figure}.png")}
    assert drawn | {"page.html", "page.md", "texts"} <= set(here)
    assert (tmp_path / "1" / "page.html").read_text().count("data:image/svg+xml") >= len(figures())
    assert [name for name in here.keys() | there.keys() if here.get(name) != there.get(name)] == []
