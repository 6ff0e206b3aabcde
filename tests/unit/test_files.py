"""Files and folders appear whole or not at all."""

import pytest

from hyperloader.errors import UserError
from hyperloader.files import read_json, replacing, replacing_folder, write_json


def test_a_failed_write_leaves_the_former_file(tmp_path):
    path = tmp_path / "a" / "file.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"x": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_a_failed_folder_leaves_the_former_one(tmp_path):
    folder = tmp_path / "folder"
    for content in ("first", "second"):
        with replacing_folder(folder) as temporary:
            (temporary / content).touch()
    with pytest.raises(RuntimeError), replacing_folder(folder) as temporary:
        (temporary / "third").touch()
        raise RuntimeError
    assert [entry.name for entry in folder.iterdir()] == ["second"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_results_are_readable_like_any_other_file(tmp_path):
    write_json(tmp_path / "ours", {})
    (tmp_path / "other").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_bad_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "bad.json"
    with pytest.raises(UserError, match="bad.json: no such file; make it"):
        read_json(path, remedy="make it")
    path.write_text('{"a": 1,\n oops}')
    with pytest.raises(UserError, match=r"bad.json:2: not valid JSON"):
        read_json(path)
