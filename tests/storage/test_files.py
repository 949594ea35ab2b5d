"""Files that are whole or not there, in a folder and on object storage, which memory plays here."""

import os
import subprocess
import sys
import threading

import pytest

from study.storage import files
from study.storage.files import create, is_remote, parse_location, replace


@pytest.fixture(params=["disk", "object storage"])
def folder(request, tmp_path):
    return tmp_path if request.param == "disk" else parse_location(f"memory://{tmp_path.name}")


def test_a_place_is_an_absolute_path_or_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_location("results") == tmp_path / "results"
    assert parse_location(tmp_path) == tmp_path
    assert not is_remote(parse_location("results"))
    assert is_remote(parse_location("memory://bucket/study"))
    assert parse_location(parse_location("memory://bucket/study")) == parse_location("memory://bucket/study")
    assert str(parse_location("memory://bucket/study") / "parts" / "a.json") == "memory://bucket/study/parts/a.json"


def test_object_storage_is_imported_only_for_its_addresses():
    """It takes longer to import than the rest of the command line."""
    code = "import sys, study.cli.main; from study.storage.files import parse_location; parse_location('results')"
    code += "; sys.exit(bool({'upath', 'fsspec'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_new_file_stays(folder):
    path = folder / "parts" / "ab" / "one.json"
    assert create(path, b"first")
    assert not create(path, b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in path.parent.glob("*")] == ["one.json"]


def test_of_many_that_create_a_file_on_a_disk_at_once_one_does(tmp_path):
    for turn in range(20):
        path, won, start = tmp_path / f"{turn}", [], threading.Barrier(4)

        def contend(number, path=path, won=won, start=start):
            start.wait()
            if create(path, f"{number}".encode()):
                won.append(number)

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_text() == f"{won[0]}"
        assert len(won) == 1
    assert len(list(tmp_path.iterdir())) == 20


def test_a_file_is_replaced(folder):
    path = folder / "deep" / "table"
    for content in (b"long content", b"short"):
        replace(path, lambda file, content=content: file.write(content))
        assert path.read_bytes() == content
    assert [each.name for each in path.parent.glob("*")] == ["table"]


def test_what_is_there_stays_when_its_successor_cannot_be_written(tmp_path):
    path = tmp_path / "table"
    path.write_text("old")

    def fails(file):
        file.write(b"half of")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        replace(path, fails)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Content first, then the name, then the folder: in any other order a power cut leaves an empty file."""
    done, sync, rename, link = [], os.fsync, files.Path.replace, os.link
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("sync"), sync(fd))[1])
    monkeypatch.setattr(files.Path, "replace", lambda *a: (done.append("name"), rename(*a))[1])
    monkeypatch.setattr(os, "link", lambda *a: (done.append("name"), link(*a))[1])
    replace(tmp_path / "table", lambda file: file.write(b"x"))
    assert done == ["sync", "name", "sync"]
    done.clear()
    create(tmp_path / "part", b"x")
    assert done == ["sync", "name", "sync"]
