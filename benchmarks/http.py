"""What programs and people ask of a large archive over HTTP, from an archive in another process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests
from PIL import Image
from sqlalchemy import Connection, text

from benchmarks.archive import LargeArchive, fill_archive
from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, served_archive
from fits_dagster.sites import Site
from fits_dagster.stages.preview import preview_key
from fits_dagster.storage.landing import md5_of
from fits_dagster.system.ports import free_port, wait_until_listening
from fits_dagster.web.accounts import add_user, generate_password

__all__ = ["DECORATION", "Question", "measure_http", "questions"]

_ROUNDS: Final = 9
_TIMEOUT_S: Final = 60.0
_READER: Final = "reader"
#: A raw GMOS frame, uncompressed.
_FILE_BYTES: Final = 28_000_000
_SHARE_AIM: Final = 0.8
_THUMBNAILS: Final = 12
#: What simulated records lack and people ask for. A program has two hundred files and an object seven,
#: however many there are.
_PROGRAM: Final = "'GN-2018A-Q-' || ({id} / 5000 * 25 + mod({id}, 25))"
DECORATION: Final = {
    "program_id": _PROGRAM,
    "data_label": _PROGRAM + " || '-' || {id}",
    "telescope": "'Gemini-North'",
    "release": "date '2020-01-01'",
    "filter_name": "'r'",
    "object": "'Field ' || ({id} / 1000000 * 150000 + mod({id} * 7919, 150000))",
    "ra": "360 * random()",
    "dec": "degrees(asin(2 * random() - 1))",
    "site_monitoring": "false",
    "science_verification": "false",
    "proprietary_coordinates": "false",
}
_FLOOR: Final = "the least answer of the same server, /health"


@dataclass(frozen=True)
class Question:
    """One question over HTTP."""

    name: str
    path: str
    aim_ms: float
    #: Whether somebody with a role asks.
    is_reader: bool = False


def measure_http(home: Path | None, *, headers: int = 1_000_000) -> list[Figures]:
    """Measure lists, searches, pages and a file.

    Parameters
    ----------
    headers
        In the archive; rounded up to whole blocks of nights.
    """
    with bench_home(home) as settings, bench_site(settings, "archive") as site:
        made = fill_archive(site.engine, headers, decoration=DECORATION)
        with site.engine.begin() as connection:
            rows = questions(connection, made)
            picture = _add_previews(site, connection, made)
            name = _add_file(site, connection)
        with site.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("vacuum analyze")
        url = f"http://127.0.0.1:{settings.archive.port}"
        with served_archive(settings), requests.Session() as visitor, _signed_in(site, url) as reader:
            floor = _median(lambda: _answer(visitor, f"{url}/health"))
            figures = [_measured(reader if row.is_reader else visitor, url, row, made, floor) for row in rows]
            figures.append(_thumbnails(visitor, url, picture, floor))
            figures.append(_file(visitor, f"{url}/file/{name}", settings.home / "archive" / "store", name))
    return figures


def questions(connection: Connection, made: LargeArchive) -> list[Question]:
    """Return what is asked, about the middle of the last nights."""
    night = made.night(1)
    found = connection.execute(
        text(
            "select h.ra, h.dec, h.program_id, h.object, h.instrument, h.ut_datetime, f.name from header h "
            "join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id where h.id = :id"
        ),
        {"id": connection.scalar(_WITH_CALIBRATIONS, {"first": night[0], "last": night[-1]}) or night[0]},
    ).one()
    day = f"{found.ut_datetime:%Y%m%d}"
    first, last = connection.execute(
        text(
            "select min(ut_datetime), max(ut_datetime) + interval '1 s' from header "
            "where id between :a and :b"
        ),
        {"a": night[-1] - 499, "b": night[-1]},
    ).one()
    span = f"{first:%Y-%m-%dT%H:%M:%S}--{last:%Y-%m-%dT%H:%M:%S}"
    cone = f"ra={found.ra:.5f}/dec={found.dec:.5f}/sr=300"
    return [
        Question("jsonsummary, 500 rows", f"jsonsummary/daterange={span}", 60),
        Question("cone search", f"jsonsummary/{cone}", 30),
        Question("program", f"jsonsummary/{found.program_id}", 30),
        Question("object", f"jsonsummary/object={found.object}", 30),
        Question("api, first 100 of an instrument", f"api/v1/records?inst={found.instrument}", 300),
        Question("search page, a night", f"searchform/night={day}/NotFail/notengineering?show=500", 300),
        Question(
            "search page, an instrument by time",
            f"searchform/inst={found.instrument}?orderby=ut_datetime_desc",
            300,
        ),
        Question("search page, a cone", f"searchform/{cone}", 300),
        Question("file page", f"about/{found.name}", 300),
        Question("night page", f"night/{day}", 300),
        Question("night page, with a role", f"night/{day}", 300, is_reader=True),
        Question("nights", "api/v1/nights", 300),
    ]


_WITH_CALIBRATIONS: Final = text("""
select header_id from calibration_answer where header_id between :first and :last
group by header_id order by count(*) desc, header_id limit 1
""")


def _add_previews(site: Site, connection: Connection, made: LargeArchive) -> list[str]:
    """Give the last night but one previews; returns the names of some files that have a picture."""
    night = made.night(1)
    names = connection.execute(
        text(
            "select d.id, d.filename from header h join diskfile d on d.id = h.diskfile_id "
            "where h.id between :first and :last order by h.id desc"
        ),
        {"first": night[0], "last": night[-1]},
    ).all()
    for row in names:
        connection.execute(
            text("insert into preview (diskfile_id, filename) values (:id, :name)"),
            {"id": row.id, "name": preview_key(site, "", row.filename)},
        )
    assert site.settings.store_directory is not None
    picture = Image.effect_noise((1000, 900), 60)
    for row in names[:_THUMBNAILS]:
        path = site.settings.store_directory / preview_key(site, "", row.filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "JPEG")
    return [row.filename for row in names[:_THUMBNAILS]]


def _add_file(site: Site, connection: Connection) -> str:
    """Put a public file of the size of a raw frame into the store."""
    name = "N20180101S9999.fits"
    assert site.settings.store_directory is not None
    path = site.settings.store_directory / name
    path.write_bytes(os.urandom(_FILE_BYTES))
    values = {"name": name, "md5": md5_of(path), "size": _FILE_BYTES}
    connection.execute(
        text("""
        with f as (insert into file (name) values (:name) returning id),
        d as (insert into diskfile (file_id, filename, path, present, canonical, file_md5, file_size, lastmod,
                                    compressed, data_md5, data_size)
              select id, :name, '', true, true, :md5, :size, now(), false, :md5, :size from f returning id)
        insert into header (diskfile_id, engineering, release) select id, true, '2020-01-01' from d
        """),
        values,
    )
    return name


@contextmanager
def _signed_in(site: Site, url: str) -> Iterator[requests.Session]:
    password = generate_password()
    add_user(site.engine, _READER, password, role="reader")
    with requests.Session() as session:
        fields = {"username": _READER, "password": password}
        session.post(f"{url}/login/", data=fields, timeout=_TIMEOUT_S).raise_for_status()
        yield session


def _measured(
    session: requests.Session, url: str, row: Question, made: LargeArchive, floor: float
) -> Figures:
    body = _answer(session, f"{url}/{row.path}")
    seconds = _median(lambda: _answer(session, f"{url}/{row.path}"))
    return _figures(row.name, seconds, floor, row.aim_ms, len(body), {"headers": made.headers})


def _thumbnails(session: requests.Session, url: str, names: list[str], floor: float) -> Figures:
    def load() -> None:
        for name in names:
            _answer(session, f"{url}/preview/{name}?width=240")

    return _figures(f"{len(names)} thumbnails", _median(load), floor, 1000, 0, {})


def _figures(
    name: str, seconds: float, floor: float, aim_ms: float, size: int, details: dict[str, Any]
) -> Figures:
    return Figures(
        name=name,
        floor=_FLOOR,
        aim=f"{name}: <= {aim_ms:g} ms",
        files=1,
        bytes=size,
        seconds=seconds,
        floor_seconds=floor,
        reached=seconds * 1e3 <= aim_ms,
        details={"answer_ms": round(seconds * 1e3, 1), **details},
    )


def _file(session: requests.Session, address: str, directory: Path, name: str) -> Figures:
    """Compare the speed of a file with that of a server that does nothing but send files."""
    ours, floors = [], []
    with _static_server(directory) as url, requests.Session() as plain:
        # by turns: the rest of the machine does not stand still
        for _ in range(2 * _ROUNDS):
            ours.append(_seconds(lambda: _answer(session, address)))
            floors.append(_seconds(lambda: _answer(plain, f"{url}/{name}")))
    # the first of each opens its connection
    seconds, floor = statistics.median(ours[1:]), statistics.median(floors[1:])
    return Figures(
        name="file, plain",
        floor="the same file from Python's http.server",
        aim=f"file, plain: >= {_SHARE_AIM} of the speed of a bare static server",
        files=1,
        bytes=_FILE_BYTES,
        seconds=seconds,
        floor_seconds=floor,
        reached=floor / seconds >= _SHARE_AIM,
        details={"share_of_static": round(floor / seconds, 2)},
    )


@contextmanager
def _static_server(directory: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--directory", str(directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if not wait_until_listening(port, seconds=_TIMEOUT_S):
            raise RuntimeError("the static server did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _median(action: Callable[[], object]) -> float:
    """Return the median of the seconds that an action takes, after one that does not count."""
    action()
    return statistics.median(_seconds(action) for _ in range(_ROUNDS))


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _answer(session: requests.Session, url: str) -> bytes:
    answer = session.get(url, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    return answer.content
