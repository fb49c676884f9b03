"""Files over HTTP: in either form, whole or in part, only if changed, by any name; and many as one tar."""

from __future__ import annotations

import bz2
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster.web.answers import content_disposition
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer, served


@pytest.fixture
def stored(archive: Site, night: list[Path]) -> list[Path]:
    """Four files in the archive, two of them compressed, one in a directory; all released but the last."""
    remembered("four_files", [archive], lambda: store_four(archive, night))
    return night[:4]


def store_four(archive: Site, night: list[Path]) -> None:
    store = archive.settings.store_directory
    assert store is not None
    (store / "sub dir").mkdir()
    for number, (path, suffix) in enumerate((("", ".bz2"), ("", ""), ("sub dir", ".bz2"), ("", ".bz2"))):
        source = night[number]
        body = source.read_bytes()
        name = f"{source.name}{suffix}"
        (store / path / name).write_bytes(bz2.compress(body) if suffix else body)
        with archive.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", path=path, filename=name)])
    assert drain(archive, ingest.STAGE).done == 4
    with archive.engine.begin() as connection:
        connection.execute(text("update header set release = '2020-01-01', engineering = false"))
        connection.execute(
            text(
                "update header set release = '2999-01-01' from diskfile d "
                "where d.id = diskfile_id and d.filename = :name"
            ),
            {"name": f"{night[3].name}.bz2"},
        )


def get(server: HttpServer, path: str, **headers: str) -> requests.Response:
    return requests.get(
        f"{server.url}{path}", headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=20
    )


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("suffix", ["", ".bz2"])
def test_either_form_comes_from_either_form(
    archive_http: HttpServer, stored: list[Path], number: int, suffix: str
) -> None:
    answer = get(archive_http, f"/file/{stored[number].name}{suffix}")
    content = bz2.decompress(answer.content) if suffix else answer.content
    assert content == stored[number].read_bytes()
    assert "content-encoding" not in answer.headers
    as_stored = bool(suffix) == (number == 0)
    assert answer.headers["accept-ranges"] == ("bytes" if as_stored else "none")
    # only what is compressed on the way has no length before
    assert ("content-length" in answer.headers) == (as_stored or not suffix)


def test_head_is_get_without_the_body(archive_http: HttpServer, stored: list[Path]) -> None:
    name = stored[0].name
    for path in (
        f"/file/{name}",
        f"/file/{name}.bz2",
        f"/fullheader/{name}",
        f"/jsonsummary/{name}",
        "/help",
    ):
        got = get(archive_http, path)
        head = requests.head(f"{archive_http.url}{path}", timeout=10)
        assert (head.status_code, head.content) == (200, b"")
        for header in ("content-length", "content-type", "etag", "content-disposition", "last-modified"):
            assert head.headers.get(header) == got.headers.get(header), (path, header)
    assert requests.head(f"{archive_http.url}/file/N19990101S0001.fits", timeout=10).status_code == 404
    assert requests.head(f"{archive_http.url}/file/{stored[3].name}", timeout=10).status_code == 403


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("100-199", 100, 200),
        ("0-0", 0, 1),
        ("2880-", 2880, None),
        ("-10", -10, None),
        ("5-99999999999", 5, None),
    ],
)
def test_a_part_is_given_of_what_is_stored(
    archive_http: HttpServer, stored: list[Path], asked: str, first: int, end: int | None
) -> None:
    whole = stored[1].read_bytes()
    answer = get(archive_http, f"/file/{stored[1].name}", Range=f"bytes={asked}")
    assert (answer.status_code, answer.content) == (206, whole[first:end])
    start = first % len(whole)
    last = start + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {start}-{last}/{len(whole)}"
    assert answer.headers["content-length"] == str(len(answer.content))


def test_parts_that_cannot_be_given(archive_http: HttpServer, stored: list[Path]) -> None:
    size = len(stored[1].read_bytes())
    beyond = get(archive_http, f"/file/{stored[1].name}", Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    for header in ("bytes=1-2,5-6", "lines=1-2", "bytes=-", "bytes=9-3"):
        assert get(archive_http, f"/file/{stored[1].name}", Range=header).status_code == 200
    # what is uncompressed on the way comes whole
    assert get(archive_http, f"/file/{stored[0].name}", Range="bytes=1-2").status_code == 200


def test_a_download_is_continued_only_if_the_file_is_the_same(
    archive_http: HttpServer, stored: list[Path]
) -> None:
    path = f"/file/{stored[1].name}"
    whole = get(archive_http, path)
    for condition, status in (
        (whole.headers["etag"], 206),
        (whole.headers["last-modified"], 206),
        ('"another"', 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ):
        assert get(archive_http, path, Range="bytes=5-9", If_Range=condition).status_code == status


def test_what_the_client_has_is_not_sent_again(archive_http: HttpServer, stored: list[Path]) -> None:
    for path in (
        f"/file/{stored[0].name}",
        f"/file/{stored[0].name}.bz2",
        "/jsonsummary/GMOS-N",
        "/help.json",
    ):
        etag = get(archive_http, path).headers["etag"]
        same = get(archive_http, path, If_None_Match=f'"x", {etag}')
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
        assert get(archive_http, path, If_None_Match='"x"').status_code == 200
    time = get(archive_http, f"/file/{stored[0].name}").headers["last-modified"]
    assert get(archive_http, f"/file/{stored[0].name}", If_Modified_Since=time).status_code == 304
    early = "Mon, 01 Jan 2001 00:00:00 GMT"
    assert get(archive_http, f"/file/{stored[0].name}", If_Modified_Since=early).status_code == 200
    # the two forms are not the same
    etags = {get(archive_http, f"/file/{stored[0].name}{suffix}").headers["etag"] for suffix in ("", ".bz2")}
    assert len(etags) == 2


def test_a_file_that_has_vanished_is_no_empty_answer(
    archive: Site, archive_http: HttpServer, stored: list[Path]
) -> None:
    assert archive.settings.store_directory is not None
    (archive.settings.store_directory / stored[1].name).unlink()
    for suffix in ("", ".bz2"):
        answer = get(archive_http, f"/file/{stored[1].name}{suffix}")
        assert answer.status_code == 410
        assert "no longer in the store" in answer.json()["error"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("N1.fits", 'attachment; filename="N1.fits"'),
        ('a"b.fits', "attachment; filename=\"a_b.fits\"; filename*=UTF-8''a%22b.fits"),
        ("α Cen.fits", "attachment; filename=\"_ Cen.fits\"; filename*=UTF-8''%CE%B1%20Cen.fits"),
        ("a\r\nb", "attachment; filename=\"a__b\"; filename*=UTF-8''a%0D%0Ab"),
    ],
)
def test_names_of_downloads_may_have_any_letters(name: str, header: str) -> None:
    assert content_disposition(name) == header


def test_a_file_with_greek_letters_and_quotes_is_given_by_its_name(
    archive: Site, archive_http: HttpServer, stored: list[Path]
) -> None:
    assert archive.settings.store_directory is not None
    name = 'α "Cen".fits'
    (archive.settings.store_directory / name).write_bytes(stored[1].read_bytes())
    with archive.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=name)])
    assert drain(archive, ingest.STAGE).done == 1
    with archive.engine.begin() as connection:
        connection.execute(text("update header set release = '2020-01-01'"))
    answer = get(archive_http, f"/file/{name}")
    assert answer.content == stored[1].read_bytes()
    assert "filename*=UTF-8''%CE%B1%20%22Cen%22.fits" in answer.headers["content-disposition"]


# ---- many files at once


def unpack(answer: requests.Response, where: Path) -> dict[str, bytes]:
    assert answer.headers["content-type"] == "application/tar", answer.text
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        tar.extractall(where, filter="data")
        return {member.name: (where / member.name).read_bytes() for member in tar.getmembers()}


def test_a_selection_comes_as_a_tar_whose_sums_can_be_checked(
    archive_http: HttpServer, stored: list[Path], tmp_path: Path
) -> None:
    answer = get(archive_http, "/download/20251123/present")
    assert answer.headers["content-disposition"] == 'attachment; filename="gemini_data.20251123_present.tar"'
    found = unpack(answer, tmp_path)
    names = [f"{stored[0].name}.bz2", stored[1].name, f"sub dir/{stored[2].name}.bz2"]
    assert sorted(found) == sorted([*names, "README.txt", "md5sums.txt"])
    checked = subprocess.run(["md5sum", "-c", "md5sums.txt"], cwd=tmp_path, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout.count(b": OK")) == (0, 3)
    assert hashlib.md5(found[stored[1].name]).hexdigest() in found["md5sums.txt"].decode()
    readme = found["README.txt"].decode()
    assert "20251123/present" in readme
    assert f"{stored[3].name}.bz2" in readme.split("Not released yet")[1]


def test_staff_get_what_is_not_released(
    staff: requests.Session, archive_http: HttpServer, stored: list[Path], tmp_path: Path
) -> None:
    found = unpack(staff.get(f"{archive_http.url}/download/20251123", timeout=20), tmp_path)
    assert f"{stored[3].name}.bz2" in found
    assert "for anna" in found["README.txt"].decode()


def test_chosen_files_come_as_a_tar(archive_http: HttpServer, stored: list[Path], tmp_path: Path) -> None:
    chosen = [f"sub dir/{stored[2].name}.bz2", stored[1].name, f"{stored[3].name}.bz2", "none.fits", "a\x00"]
    answer = requests.post(f"{archive_http.url}/download/", data={"files": chosen}, timeout=20)
    found = unpack(answer, tmp_path)
    assert sorted(found) == sorted([chosen[0], chosen[1], "README.txt", "md5sums.txt"])


def test_a_tar_names_what_has_vanished(
    archive: Site, archive_http: HttpServer, stored: list[Path], tmp_path: Path
) -> None:
    assert archive.settings.store_directory is not None
    (archive.settings.store_directory / stored[1].name).unlink()
    found = unpack(get(archive_http, "/download/20251123"), tmp_path)
    assert stored[1].name not in found
    assert stored[1].name in found["README.txt"].decode().split("No longer in the store")[1]


def test_a_tar_never_holds_half_a_file(archive: Site, archive_http: HttpServer, stored: list[Path]) -> None:
    assert archive.settings.store_directory is not None
    path = archive.settings.store_directory / stored[1].name
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        get(archive_http, "/download/20251123")


@pytest.mark.parametrize(
    ("path", "said"),
    [("/download", "Nothing was asked for"), ("/download/19990101", "There is no such file")],
)
def test_what_cannot_be_downloaded_is_told_in_plain_text(
    archive_http: HttpServer, stored: list[Path], path: str, said: str
) -> None:
    answer = get(archive_http, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert said in answer.text


def test_too_many_files_are_told_in_plain_text(archive: Site, stored: list[Path]) -> None:
    with served(archive, most_files_open=2) as small:
        assert "More than 2 files" in get(small, "/download/present").text
        only_last = get(small, f"/download/{stored[3].name}")
    assert "None of the files has been released yet." in only_last.text


def test_the_calibrations_of_a_selection_come_as_a_tar(
    archive: Site, archive_http: HttpServer, stored: list[Path], tmp_path: Path
) -> None:
    with archive.engine.begin() as connection:
        ids = {
            name: header_id
            for name, header_id in connection.execute(
                text(
                    "select f.name, h.id from header h join diskfile d on d.id = h.diskfile_id "
                    "join file f on f.id = d.file_id"
                )
            )
        }
        connection.execute(text("delete from calibration_answer"))
        connection.execute(
            text("insert into calibration_answer values (:header, 'arc', :ids)"),
            {"header": ids[stored[0].name], "ids": [ids[stored[1].name], ids[stored[3].name]]},
        )
    answer = get(archive_http, f"/download/associated_calibrations/{stored[0].name}")
    assert f"gemini_calibs.{stored[0].name}.tar" in answer.headers["content-disposition"]
    found = unpack(answer, tmp_path)
    assert sorted(found) == sorted([stored[1].name, "README.txt", "md5sums.txt"])
    assert stored[3].name in found["README.txt"].decode()
    page = get(archive_http, f"/associated_cals/{stored[0].name}").text
    assert f">{stored[1].name}</a>" in page
    assert f">{stored[0].name}</a>" not in page


def test_an_observing_log_is_public_with_the_data_of_its_night(
    staff: requests.Session, archive: Site, archive_http: HttpServer, stored: list[Path]
) -> None:
    assert archive.settings.store_directory is not None
    logs = {"20251123_GN-2025B-Q-9_obslog.txt": b"cloudy", "20251122_GN-2025B-Q-9_obslog.txt": b"clear"}
    with archive.engine.begin() as connection:
        connection.execute(text("update header set program_id = 'GN-2025B-Q-9', release = '2999-01-01'"))
        for name, content in logs.items():
            (archive.settings.store_directory / name).write_bytes(content)
            add_work(connection, [NewWork(stage="ingest", filename=name)])
    assert drain(archive, ingest.STAGE).done == 2
    hidden, public = logs
    assert get(archive_http, f"/file/{hidden}").status_code == 403
    assert staff.get(f"{archive_http.url}/file/{hidden}", timeout=10).content == b"cloudy"
    answer = get(archive_http, f"/file/{public}")
    assert (answer.content, answer.headers["content-type"]) == (b"clear", "text/plain; charset=utf-8")
    with archive.engine.begin() as connection:
        connection.execute(text("update header set release = '2020-01-01'"))
    assert get(archive_http, f"/file/{hidden}").content == b"cloudy"
    page = get(archive_http, "/obslogs/20251123/GN-2025B-Q-9").text
    assert (hidden in page, public in page) == (True, False)
    assert public in get(archive_http, "/obslogs/20251122-20251123").text
    assert get(archive_http, "/obslogs/GMOS-N").headers["X-Fits-Dagster-Not-Understood"] == "GMOS-N"
    [entry] = get(archive_http, f"/jsonfilelist/present/filename={public}").json()
    assert entry["file_md5"] == hashlib.md5(b"clear").hexdigest()
