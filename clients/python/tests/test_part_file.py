"""Unfinished files and their state."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sluice_client import SaveInProgressError
from sluice_client._part_file import PartFile
from sluice_client._state_file import SaveState

GATEWAY = "http://127.0.0.1:9"


def wanted(dataset: str = "a", key: str = "k") -> SaveState:
    return SaveState(GATEWAY, {"dataset": dataset}, key)


def begun(path: Path, data: bytes = b"first") -> None:
    """Leave a part, as a killed process does."""
    part = PartFile(path, overwrite=False)
    assert not part.resume(wanted())
    part.set_export("id")
    part.set_attempt(1)
    part.write(data)
    part.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_part_continues_for_the_same_request(tmp_path: Path) -> None:
    path = tmp_path / "f"
    begun(path)
    part = PartFile(path, overwrite=False)
    assert part.resume(wanted(key="other"))
    assert part.state == SaveState(GATEWAY, {"dataset": "a"}, "k", "id", 1)
    length, digest = part.rehash()
    assert (length, digest.hexdigest()) == (5, hashlib.sha256(b"first").hexdigest())
    part.write(b" second")
    assert names(tmp_path) == ["f.part", "f.part.json"]
    part.finish()
    assert path.read_bytes() == b"first second"
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize(
    "other",
    [
        wanted("b"),
        SaveState("http://127.0.0.2:9", {"dataset": "a"}, "k"),
        SaveState(GATEWAY, None, "", "id2"),
    ],
)
def test_a_part_of_another_request_begins_again(tmp_path: Path, other: SaveState) -> None:
    path = tmp_path / "f"
    begun(path)
    part = PartFile(path, overwrite=False)
    assert not part.resume(other)
    assert part.rehash()[0] == 0
    part.close()


def test_an_export_that_is_named_by_its_id_continues_any_part_of_it(tmp_path: Path) -> None:
    begun(tmp_path / "f")
    part = PartFile(tmp_path / "f", overwrite=False)
    assert part.resume(SaveState(GATEWAY, None, "", "id"))
    part.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "odd": 1}'])
def test_a_damaged_state_is_no_state(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f"
    begun(path)
    (tmp_path / "f.part.json").write_text(text)
    part = PartFile(path, overwrite=False)
    assert not part.resume(wanted())
    assert part.rehash()[0] == 0
    part.close()


def test_a_file_that_exists_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        PartFile(path, overwrite=False)
    assert names(tmp_path) == ["f"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    part = PartFile(path, overwrite=False)
    part.begin(wanted())
    part.write(b"theirs")
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        part.finish()
    part.close()
    assert path.read_bytes() == b"mine"


def test_overwrite_replaces_the_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    part = PartFile(path, overwrite=True)
    part.begin(wanted())
    part.write(b"new")
    assert path.read_bytes() == b"old"
    part.finish()
    assert path.read_bytes() == b"new"


def test_two_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "f", overwrite=False)
    with pytest.raises(SaveInProgressError):
        PartFile(tmp_path / "f", overwrite=False)
    part.close()


def test_a_restart_discards_the_bytes_and_their_attempt(tmp_path: Path) -> None:
    begun(tmp_path / "f")
    part = PartFile(tmp_path / "f", overwrite=False)
    part.resume(wanted())
    part.reset()
    assert (part.rehash()[0], part.known_state().attempt) == (0, None)
    part.write(b"x")
    part.close()
    assert (tmp_path / "f.part").read_bytes() == b"x"


def test_an_unused_part_leaves_nothing(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "f", overwrite=False)
    part.resume(wanted())
    part.close_unused()
    assert names(tmp_path) == []


def test_a_discarded_part_leaves_nothing(tmp_path: Path) -> None:
    begun(tmp_path / "f")
    PartFile(tmp_path / "f", overwrite=False).discard()
    assert names(tmp_path) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "f").symlink_to(tmp_path / "real" / "g")
    part = PartFile(tmp_path / "f", overwrite=False)
    part.begin(wanted())
    part.write(b"x")
    part.finish()
    assert (tmp_path / "f").is_symlink()
    assert (tmp_path / "real" / "g").read_bytes() == b"x"


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="regular"):
        PartFile(tmp_path, overwrite=True)
