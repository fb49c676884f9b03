"""``fits-dagster calibrations``: JSON for programs, tables and reasons for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from fits_dagster.calibration import associate_headers
from fits_dagster.cli import cli
from fits_dagster.sites import Site
from fits_dagster_tests.builders.versions import Archive

UT = datetime(2019, 6, 1, 4, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "instrument": "NIFS",
    "engineering": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "spectroscopy": True,
    "observation_class": "science",
    "central_wavelength": "2.2",
    "types": ["SPECT"],
    "ut_datetime": UT,
}
ROW = {"disperser": "K_G5605", "filter_name": "HK", "focal_plane_mask": "3.0"}
TARGET, NEAR, FAR = "N20190601S0001.fits", "N20190531S0007.fits", "N20190603S0009.fits"

OFFERS = "select header_id, query, key, secs from calibration_offer order by 1, 2, 3"
NEEDS = "select header_id, caltype, part, query, key from calibration_need order by 1, 2, 3"


@pytest.fixture
def filled(archive: Site, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A science frame, an arc before it, one after it, and one with another filter."""
    with archive.engine.begin() as connection:
        files = Archive(connection)
        header, _ = files.arrive(TARGET, RECORD | {"observation_type": "OBJECT"}, "nifs", [ROW])
        for name, days, filter_name in ((NEAR, -1, "HK"), (FAR, 2, "HK"), ("other.fits", 0.5, "JH")):
            arc = RECORD | {"observation_type": "ARC", "ut_datetime": UT + timedelta(days=days)}
            files.arrive(name, arc, "nifs", [ROW | {"filter_name": filter_name}])
        associate_headers(connection, [header])
    monkeypatch.setenv("FITS_DAGSTER_ARCHIVE__DATABASE_URL", settings.archive.database_url)
    monkeypatch.setenv("FITS_DAGSTER_DATABASE_URL", settings.archive.database_url)
    monkeypatch.setenv("COLUMNS", "200")
    yield archive


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["calibrations", *arguments])


def test_json_tells_names_in_rank_order_by_type_and_file(filled: Site) -> None:
    result = run(TARGET, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == [TARGET]
    # types that apply are told even if nothing was found
    assert found[TARGET] == {
        "processed_bpm": [],
        "flat": [],
        "processed_flat": [],
        "arc": [NEAR],
        "ronchi_mask": [],
        "telluric": [],
    }
    every = json.loads(run("N20190601S0001", "--json", "--all").stdout)["N20190601S0001"]
    assert set(every) > set(found[TARGET])


def test_a_name_that_is_not_known_is_told_and_the_others_are_answered(filled: Site) -> None:
    result = run("N20000101S0001", TARGET, "--json")
    assert result.exit_code == 1
    assert list(json.loads(result.stdout)) == [TARGET]
    assert "no file N20000101S0001" in result.stderr


def test_the_table_tells_night_distance_and_what_is_equal(filled: Site) -> None:
    result = run(TARGET)
    assert result.exit_code == 0
    [line] = [line for line in result.stdout.splitlines() if NEAR in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == [
        "arc",
        "0",
        NEAR,
        "20190531",
        "-24.0 h",
        "disperser K_G5605, focal_plane_mask 3.0, filter_name HK",
    ]


def test_reasons_are_told_in_words_and_as_json(filled: Site) -> None:
    words = run(TARGET, "--why", "arc").stdout
    assert f"0 {NEAR} (-24.0 h)" in words
    assert "filter_name: wanted HK, found JH" in words
    found = json.loads(run(TARGET, "--json", "--why", "arc").stdout)[TARGET]
    assert [each["name"] for each in found["arc"]["chosen"]] == [NEAR]
    assert [each["name"] for each in found["arc"]["nearest"]] == ["other.fits"]
    every = json.loads(run(TARGET, "--json", "--why").stdout)[TARGET]
    assert every["telluric"]["remark"] == "no file of that kind and state is known"


def test_a_type_that_does_not_exist_is_a_mistake_of_usage(filled: Site) -> None:
    assert run(TARGET, "--why", "arcs").exit_code == 2


def test_levels_are_one_list_of_all_files(filled: Site) -> None:
    with filled.engine.begin() as connection:
        # the arc has a mask, which the science frame has not
        connection.execute(
            text("""insert into calibration_answer
                    select a.id, 'processed_bpm', array[o.id]
                    from (select h.id, f.name from header h join diskfile d on d.id = h.diskfile_id
                          join file f on f.id = d.file_id) a
                    join (select h.id, f.name from header h join diskfile d on d.id = h.diskfile_id
                          join file f on f.id = d.file_id) o on o.name = 'other.fits'
                    where a.name = :near"""),
            {"near": NEAR},
        )
    found = json.loads(run(TARGET, "N20190601S0001", "--json", "--levels", "5").stdout)
    assert found == [
        {"name": NEAR, "caltype": "arc", "rank": 0, "level": 0, "primary": True},
        {"name": "other.fits", "caltype": "processed_bpm", "rank": 0, "level": 1, "primary": False},
    ]
    [line] = [line for line in run(TARGET, "--levels", "1").stdout.splitlines() if NEAR in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == ["0", "arc", "0", NEAR, "20190531"]
    assert "other.fits" not in run(TARGET, "--levels", "1").stdout
    assert run("nothing", "--levels", "1").exit_code == 1
    assert run(TARGET, "--levels", "6").exit_code == 2
    assert run(TARGET, "--levels", "2", "--all").exit_code == 2


def test_match_keys_are_rebuilt_and_associations_follow(filled: Site) -> None:
    with filled.engine.begin() as connection:
        before = connection.execute(text(OFFERS)).all()
        needs = connection.execute(text(NEEDS)).all()
        connection.execute(text("update calibration_offer set key = 'of other rules'"))
        connection.execute(text("delete from calibration_need"))
        connection.execute(text("delete from work_item"))
    dry = CliRunner().invoke(cli, ["rebuild-match-keys", "--dry-run"])
    assert (dry.exit_code, dry.stdout) == (
        0,
        "4 headers would be matched again, and their associations queued\n",
    )
    done = CliRunner().invoke(cli, ["rebuild-match-keys"])
    assert done.exit_code == 0, done.output
    with filled.engine.connect() as connection:
        assert connection.execute(text(OFFERS)).all() == before
        assert connection.execute(text(NEEDS)).all() == needs
        queued = connection.execute(
            text("select stage, priority, count(*) from work_item group by 1, 2")
        ).all()
    assert [tuple(row) for row in queued] == [("associate", -1, 4)]
