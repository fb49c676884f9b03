"""Directories that others write: one entry never affects another, and only regular files are opened."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fits_dagster.fits.names import fault_of_name, shown_name, temporary_name
from fits_dagster.storage import DirectoryStore, check_key
from fits_dagster.storage.base import UnsafeNameError
from fits_dagster.storage.entries import EntryError, entries_of, open_regular


def hostile_directory(root: Path) -> Path:
    """A directory with one file in order, and one entry of every odd kind."""
    directory = root / "d"
    directory.mkdir()
    (root / "secret.fits").write_bytes(b"secret")
    (directory / "good.fits").write_bytes(b"good")
    os.mkfifo(directory / "fifo.fits")
    (directory / "directory.fits").mkdir()
    (directory / "outside.fits").symlink_to(root / "secret.fits")
    (directory / "inside.fits").symlink_to("good.fits")
    (directory / "dangling.fits").symlink_to("nothing")
    (directory / "loop.fits").symlink_to("loop.fits")
    (directory / "null.fits").symlink_to("/dev/null")
    Path(os.fsdecode(bytes(directory) + b"/latin\xe9.fits")).write_bytes(b"")
    os.mknod(directory / "socket.fits", stat.S_IFSOCK | 0o600)
    return directory


def reasons(directory: Path, *, links: bool = False) -> dict[str, str | None]:
    return {
        e.name: e.fault and e.fault.reason
        for e in entries_of(directory, links_in=directory if links else None)
    }


ODD = {
    "good.fits": None,
    "fifo.fits": "not_a_file",
    "socket.fits": "not_a_file",
    "directory.fits": "is_a_directory",
    "outside.fits": "is_a_link",
    "inside.fits": "is_a_link",
    "dangling.fits": "is_a_link",
    "loop.fits": "is_a_link",
    "null.fits": "is_a_link",
    r"latin\xe9.fits": "unsafe_name",
}


def test_every_entry_is_named_for_what_it_is(tmp_path: Path) -> None:
    assert reasons(hostile_directory(tmp_path)) == ODD


def test_links_that_stay_inside_are_followed_where_that_is_asked_for(tmp_path: Path) -> None:
    directory = hostile_directory(tmp_path)
    assert reasons(directory, links=True) == {**ODD, "inside.fits": None}
    with open_regular(directory / "inside.fits", links=True) as source:
        assert source.read() == b"good"
    with pytest.raises(EntryError, match="is a link"), open_regular(directory / "outside.fits", links=True):
        pass


@pytest.mark.parametrize(
    "name", [name for name, reason in ODD.items() if reason not in (None, "unsafe_name")]
)
def test_nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(EntryError) as caught, open_regular(hostile_directory(tmp_path) / name):
        pass
    assert caught.value.reason == ODD[name]


def test_what_is_put_in_the_place_of_a_file_at_the_last_moment_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = hostile_directory(tmp_path)
    opened = os.open

    def swap_first(path: Path, flags: int) -> int:
        path.unlink()
        path.symlink_to(tmp_path / "secret.fits")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", swap_first)
    with pytest.raises(EntryError, match="is a link"), open_regular(directory / "good.fits"):
        pass


def test_an_entry_that_cannot_be_looked_at_is_told_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.fits", "b.fits", "c.fits"):
        (tmp_path / name).write_bytes(b"x")
    scandir = os.scandir

    class Stale:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path, self._entry = entry.name, entry.path, entry

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if self.name == "b.fits":
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return self._entry.stat(follow_symlinks=follow_symlinks)

    class Listing:
        def __init__(self, directory: Path) -> None:
            self._inner = scandir(directory)

        def __enter__(self) -> list[Stale]:
            return [Stale(entry) for entry in self._inner]

        def __exit__(self, *_: object) -> None:
            self._inner.close()

    monkeypatch.setattr(os, "scandir", Listing)
    found = {entry.name: entry.error and entry.error.errno for entry in entries_of(tmp_path)}
    assert found == {"a.fits": None, "b.fits": errno.ESTALE, "c.fits": None}
    assert sorted(info.key for info in DirectoryStore(tmp_path).objects()) == ["a.fits", "c.fits"]


def test_a_store_lists_and_gives_regular_files_only(tmp_path: Path) -> None:
    store = DirectoryStore(hostile_directory(tmp_path))
    assert sorted(info.key for info in store.objects()) == ["good.fits", r"latin\xe9.fits"]
    for name, reason in ODD.items():
        if reason not in (None, "unsafe_name"):
            assert store.stat(name) is None
            with pytest.raises(FileNotFoundError), store.local(name):
                pass
    lenient = DirectoryStore(store.root, links=True)
    assert sorted(info.key for info in lenient.objects()) == ["good.fits", "inside.fits", r"latin\xe9.fits"]
    assert lenient.stat("inside.fits") is not None
    assert lenient.stat("outside.fits") is None
    with pytest.raises(UnsafeNameError, match="backslash"):
        store.stat(r"latin\xe9.fits")


#: Makes an entry of a kind, and tells the reason with which that kind is refused.
KINDS: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "file": (lambda path: path.write_bytes(b"content"), None),
    "fifo": (os.mkfifo, "not_a_file"),
    "socket": (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "not_a_file"),
    "directory": (Path.mkdir, "is_a_directory"),
    "dangling link": (lambda path: path.symlink_to("nothing"), "is_a_link"),
    "loop": (lambda path: path.symlink_to(path.name), "is_a_link"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is_a_link"),
}
RAW_NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)


@settings(max_examples=60, deadline=None)
@given(wanted=st.dictionaries(RAW_NAMES, st.sampled_from(sorted(KINDS)), max_size=12))
def test_whatever_lies_in_a_directory_every_entry_is_told_by_itself(wanted: dict[bytes, str]) -> None:
    with TemporaryDirectory() as root:
        for raw, kind in wanted.items():
            KINDS[kind][0](Path(root) / os.fsdecode(raw))
        found = {entry.raw_name: entry for entry in entries_of(Path(root))}
        assert set(found) == {os.fsdecode(raw) for raw in wanted}
        assert len({entry.name for entry in found.values()}) == len(wanted)
        for raw, kind in wanted.items():
            name, reason = os.fsdecode(raw), KINDS[kind][1]
            fault = found[name].fault
            unsafe = "unsafe_name" if fault_of_name(name) is not None else None
            assert (fault and fault.reason) == (reason or unsafe)
            if fault is None:
                with open_regular(Path(root) / name) as source:
                    assert source.read() == b"content"


@given(st.binary(min_size=1, max_size=255).filter(lambda name: not {0, ord("/")} & set(name)))
def test_every_name_that_a_file_system_allows_can_be_shown_and_no_two_alike(raw: bytes) -> None:
    name = os.fsdecode(raw)
    shown = shown_name(name)
    assert shown.isprintable()
    shown.encode()
    if fault_of_name(name) is None:
        assert shown == name
        assert check_key(name) == name
    else:
        with pytest.raises(UnsafeNameError):
            check_key(name)
    if shown != name:
        assert fault_of_name(shown) is not None


@given(st.text(min_size=1, max_size=255))
def test_names_are_refused_or_safe_and_never_raise(name: str) -> None:
    shown_name(name).encode()
    assert len(os.fsencode(temporary_name(name, "0" * 12))) <= 255


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("N20251123S0001.fits", None),
        ("N20251123S0904 blank 'quote\" Ω.fits", None),
        ("x" * 250 + ".fits", None),
        ("x" * 251 + ".fits", "is too long (256 bytes)"),
        ("é" * 126 + ".fits", "is too long (257 bytes)"),
        ("-rf.fits", "begins with '-'"),
        (".hidden.fits", "begins with '.'"),
        ("a\nb.fits", "holds characters that cannot be printed"),
        ("a\x7fb.fits", "holds characters that cannot be printed"),
        ("a\u202eb.fits", "holds characters that cannot be printed"),  # turns the direction of writing
        ("a\u2028b.fits", "holds characters that cannot be printed"),  # a line break to many programs
        ("a\\b.fits", "holds a slash or a backslash"),
        ("a\udce9.fits", "is not UTF-8"),
    ],
)
def test_faults_of_names(name: str, fault: str | None) -> None:
    assert fault_of_name(name) == fault
