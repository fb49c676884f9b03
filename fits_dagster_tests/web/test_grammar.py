"""The grammar of selections: every row of its table is understood and selects what it says.

What should come is computed from the records by other code than the server's: plain Python over dicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from sqlalchemy import text, update

from fits_dagster.records.selection import GRAMMAR, Term, select_files
from fits_dagster.records.tables import header
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster.web.versions import versions_query
from fits_dagster_tests.builders.records import ENTERED, insert_records, make_records
from fits_dagster_tests.builders.sites import HttpServer, serve
from fits_dagster_tests.web.selections import HEADER, RECORDS, ask, names

Record = dict[str, Any]

#: All words and keys of the reference's grammar, written down by hand.
_WORDS = """
Gemini-North gemini_south DARK ARC FLAT BIAS OBJECT PINHOLE RONCHI CAL FRINGE MASK dayCal partnerCal
acqCal acq science progCal Failed Raw Quick-Look Science-Quality Quality-Assessment RAW PREPARED
PROCESSED_FLAT PROCESSED_BIAS PROCESSED_FRINGE PROCESSED_ARC MIRROR B480 B600 R600_G5324 R400+_G5305 R831
R150 B1200 Imaging IFU-2 IFU-R IFU-B focus_array_new 0.5arcsec 0.75arcsec 1.0arcsec 1.5arcsec 2.0arcsec
5.0arcsec NS0.75arcsec NS1.0arcsec NS1.5arcsec NS2.0arcsec GN2009AQ021-01 G2025A0123Q-01 1x1 8x8 high low
standard fast medium slow red:slow,blue:fast Shallow Deep Invalid Classic NodAndShuffle Faint
Faint_Object Faint_Objects Very_Faint_Objects Medium Medium_Object Bright Bright_Object Bright_Objects
Very_Bright_Objects Low_Background Medium_Background High_Background niri nifs gmos-n gmos-s gmos
michelle gnirs ghost phoenix texes trecs nici igrins igrins-2 gsaoi oscir f2 gpi abu bhros hrwfs
flamingos cirpass graces alopeke zorro maroon-x hokupaa+quirc imaging spectroscopy present notpresent
canonical notcanonical Present NotPresent Canonical NotCanonical engineering notengineering
includeengineering science_verification notscience_verification calprog notcalprog site_monitoring
not_site_monitoring photstandard mdgood mdbad gpi_astrometric_standard defaults Pass Usable Fail CHECK
UndefinedQA Win NotFail Lucky AnyQA AO NOTAO NOAO GN-2012A-Q-114 G-2025A-0001-Q GN-CAL20120101
ENG20120101 G-2025A-ENG-word-1 progid=GN-2012A-Q-114 GN-2012A-Q-114-1 obsid=GN-2012A-Q-114-1
GN-2012A-Q-114-1-001 datalabel=GN-2012A-Q-114-1-001-FLAT LGS NGS fullframe centralstamp centralspectrum
central768 central512 central256 custom preimage twilight nottwilight NotTwilight S20120102S N2012
object=X LS MOS IFS 20120102 2012-01-02 today yesterday tomorrow now 20120101-20120102
2012-01-01--2012-01-02 N20120102S0001_flat.fits 20may12_1 filename=X filepre=X disperser=X camera=X
mask=X pupil_mask=X filter=X Filter=X az=1-2 Az=1-2 azimuth=1-2 Azimuth=1-2 el=1-2 El=1-2 elevation=1-2
Elevation=1-2 ra=1 RA=1 dec=1 Dec=1 sr=1 SR=1 crpa=1-2 CRPA=1-2 cenwlen=1 exposure_time=1 coadds=1
publication=X PIname=X ProgramText=X raw_cc=50 raw_iq=50 raw_bg=50 raw_wv=50 gain=X readspeed=X
readmode=X welldepth=X date=20120102 daterange=20120101-20120102 night=20120102
nightrange=20120101-20120102 entrytimedaterange=20120101-20120102 lastmoddaterange=20120101-20120102
processing_tag=X path=X
"""
WORDS = _WORDS.split()


# ---- the table itself


@pytest.mark.parametrize("word", WORDS)
def test_every_word_and_key_of_the_reference_is_understood(word: str) -> None:
    selection = select_files([word], SiteSettings())
    assert (selection.not_recognised, len(selection.values) > 0) == ([], True)


@pytest.mark.parametrize("term", GRAMMAR, ids=lambda term: term.key)
def test_every_row_has_help_and_examples_that_it_understands(term: Term) -> None:
    assert term.help.endswith(".")
    assert term.examples
    assert bool(term.names) == (term.read is not None)
    for element in (*term.examples, *term.words):
        assert term.understand(element) is not None, element


def test_every_example_of_the_table_is_answered(made_up: HttpServer) -> None:
    for term in GRAMMAR:
        for example in term.examples:
            answer = ask(made_up, example.replace("/", "=slash="))
            assert (answer.status_code, HEADER in answer.headers) == (200, False), (example, answer.text)


def test_the_help_page_and_the_description_of_the_api_come_from_the_table(archive_http: HttpServer) -> None:
    page = requests.get(f"{archive_http.url}/help", timeout=10).text
    rows = {row["key"]: row for row in requests.get(f"{archive_http.url}/help.json", timeout=10).json()}
    described = requests.get(f"{archive_http.url}/openapi.json", timeout=10).json()
    parameters = described["paths"]["/jsonsummary/{rest}"]["get"]["parameters"]
    [parameter] = [each for each in parameters if each["in"] == "path"]
    for term in GRAMMAR:
        assert f'id="{term.key}"' in page
        assert rows[term.key]["selects"] == term.help
        assert term.help in parameter["description"]


# ---- what a selection selects


def distance(record: Record, ra: float, dec: float) -> float:
    """Angle between two directions, by vectors."""

    def vector(ra: float, dec: float) -> tuple[float, float, float]:
        a, d = math.radians(ra), math.radians(dec)
        return math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)

    one, two = vector(record["ra"], record["dec"]), vector(ra, dec)
    cross = math.hypot(
        one[1] * two[2] - one[2] * two[1],
        one[2] * two[0] - one[0] * two[2],
        one[0] * two[1] - one[1] * two[0],
    )
    return math.degrees(math.atan2(cross, sum(a * b for a, b in zip(one, two, strict=True))))


def on(first: str, last: str | None = None, ahead: float = 0) -> Callable[[Record], bool]:
    start = datetime.strptime(first, "%Y%m%d").replace(tzinfo=UTC)
    end = datetime.strptime(last or first, "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1)

    def check(r: Record) -> bool:
        shift = timedelta(hours=ahead if r["telescope"] == "Gemini-South" else 0)
        return bool(start - shift <= r["ut_datetime"] < end - shift)

    return check


SOME = RECORDS[7]
CASES: list[tuple[str, Callable[[Record], bool]]] = [
    ("Gemini-South", lambda r: r["telescope"] == "Gemini-South"),
    (SOME["name"], lambda r: r["name"] == SOME["name"]),
    (f"filename={SOME['name']}.bz2", lambda r: r["name"] == SOME["name"]),
    ("filepre=N2025112", lambda r: r["name"].startswith("N2025112")),
    ("N20251121", lambda r: r["name"].startswith("N20251121")),
    ("BIAS", lambda r: r["observation_type"] == "BIAS"),
    ("dayCal", lambda r: r["observation_class"] == "dayCal"),
    ("Science-Quality", lambda r: r["processing"] == "Science-Quality"),
    ("PROCESSED_FLAT", lambda r: r["reduction"] == "PROCESSED_FLAT"),
    ("R400", lambda r: r["disperser"] in ("R400", "R400_G5305")),
    ("R400+_G5305", lambda r: r["disperser"] in ("R400", "R400_G5305")),
    ("GNIRS/disperser=32lXD", lambda r: r["disperser"] in ("32_mm&SXD", "32_mm&LXD")),
    (
        "GMOS/1.0arcsec",
        lambda r: r["instrument"][:4] == "GMOS" and r["focal_plane_mask"].startswith("1.0arcsec"),
    ),
    ("TRECS/1.0arcsec", lambda r: r["instrument"] == "TReCS" and "1.0arcsec" in r["focal_plane_mask"]),
    ("mask=1.0arcsec", lambda r: r["focal_plane_mask"] == "1.0arcsec"),
    ("Imaging", lambda r: r["focal_plane_mask"] == "Imaging"),
    ("2x2", lambda r: r["detector_binning"] == "2x2"),
    ("low", lambda r: r["detector_gain_setting"] == "low"),
    ("gain=5", lambda r: False),
    ("red:fast,blue:slow", lambda r: r["detector_readspeed_setting"] == "red:fast,blue:slow"),
    ("Deep", lambda r: r["detector_welldepth_setting"] == "Deep"),
    ("NodAndShuffle", lambda r: r["detector_readmode_setting"] == "NodAndShuffle"),
    ("gmos", lambda r: r["instrument"] in ("GMOS-N", "GMOS-S")),
    ("MICHELLE", lambda r: r["instrument"] == "michelle"),
    ("inst=NONESUCH", lambda r: False),
    ("camera=GnirsLong", lambda r: r["camera"] in ("LongRed", "LongBlue")),
    ("camera=5", lambda r: r["camera"] == "5"),
    ("pupil_mask=NRM", lambda r: r["pupil_mask"] == "NRM"),
    ("filter=1", lambda r: r["filter_name"] == "1"),
    ("FullFrame", lambda r: r["detector_roi_setting"] in ("Full Frame", "Fixed")),
    ("central768", lambda r: r["detector_roi_setting"] == "Central768"),
    ("coadds=5", lambda r: r["coadds"] == 5),
    ("exposure_time=30", lambda r: 29.5 <= r["exposure_time"] <= 30.5),
    ("exposure_time=10-60", lambda r: 10 <= r["exposure_time"] <= 60),
    ("cenwlen=2", lambda r: r["central_wavelength"] is not None and 1.9 < r["central_wavelength"] < 2.1),
    ("cenwlen=2.5-1", lambda r: r["central_wavelength"] is not None and 1 < r["central_wavelength"] < 2.5),
    ("spectroscopy", lambda r: r["spectroscopy"]),
    ("MOS", lambda r: r["mode"] == "MOS"),
    ("LGS", lambda r: r["adaptive_optics"] and r["laser_guide_star"]),
    ("NGS", lambda r: r["adaptive_optics"] and not r["laser_guide_star"]),
    ("NOTAO", lambda r: not r["adaptive_optics"]),
    ("ra=0.2/dec=89/sr=2d", lambda r: distance(r, 0.2, 89) <= 2),
    ("ra=0/dec=-23/sr=1.5d", lambda r: distance(r, 0, -23) <= 1.5),
    ("ra=00:01:00/dec=-23:30:00/sr=5400", lambda r: distance(r, 0.25, -23.5) <= 1.5),
    ("ra=180/dec=0/sr=120d", lambda r: distance(r, 180, 0) <= 120),
    ("ra=359.5-0.5", lambda r: r["ra"] >= 359.5 or r["ra"] <= 0.5),
    ("ra=10.0-200.5", lambda r: 10 <= r["ra"] <= 200.5),
    ("dec=-22.3--24.5", lambda r: -24.5 <= r["dec"] <= -22.3),
    ("dec=-23.4/sr=0.5d", lambda r: abs(r["dec"] + 23.4) <= 0.5),
    ("az=-20-100", lambda r: -20 <= r["azimuth"] < 100),
    ("el=40-60", lambda r: 40 <= r["elevation"] < 60),
    ("crpa=-90--10", lambda r: -90 <= r["cass_rotator_pa"] < -10),
    ("object=ngc 1234", lambda r: r["object"] == "NGC 1234"),
    ("object=NGC*", lambda r: str(r["object"]).lower().startswith("ngc")),
    ("object=*%_off", lambda r: r["object"] == "50%_off"),
    ("object=50*off", lambda r: False),
    ("twilight", lambda r: r["object"] == "Twilight"),
    ("nottwilight", lambda r: r["object"] not in ("Twilight", None)),
    ("GN-2025B-Q-101", lambda r: r["program_id"] == "GN-2025B-Q-101"),
    ("progid=gn-2025b-q-101", lambda r: r["program_id"] == "GN-2025B-Q-101"),
    ("progid=GN-2025B-Q-101-2", lambda r: r["observation_id"] == "GN-2025B-Q-101-2"),
    ("obsid=GS-2025B-FT-7-1/GN-2025B-Q-101", lambda r: r["observation_id"] == "GS-2025B-FT-7-1"),
    (SOME["data_label"], lambda r: r["data_label"] == SOME["data_label"]),
    ("PIname=Herschel caroline", lambda r: r["program_id"] == "GN-2025B-Q-101"),
    ("PIname=Nobody", lambda r: False),
    ("ProgramText=comets", lambda r: r["program_id"] == "GN-2025B-Q-101"),
    ("publication=1787RSPT...77....1H", lambda r: r["program_id"] == "GN-2025B-Q-101"),
    ("20251121", on("20251121")),
    ("2025-11-21", on("20251121")),
    ("20251123-20251121", on("20251121", "20251123")),
    (
        "2025-11-21T06:00:00--2025-11-21T18:30:00",
        lambda r: "2025-11-21 06" <= str(r["ut_datetime"]) < "2025-11-21 18:30",
    ),
    ("night=20251121", on("20251121", ahead=6)),
    ("nightrange=20251121-20251122", on("20251121", "20251122", ahead=6)),
    (
        "entrytimedaterange=2025-12-01T01:00:00--2025-12-01T03:00:00",
        lambda r: 60 <= (r["entrytime"] - ENTERED).total_seconds() / 60 < 180,
    ),
    ("entrytimedaterange=20251201-20251202", lambda r: True),
    ("lastmoddaterange=20251125-20251127", lambda r: "2025-11-25" <= str(r["lastmod"]) < "2025-11-27"),
    ("present", lambda r: r["present"]),
    ("NotPresent", lambda r: not r["present"]),
    ("mdgood", lambda r: r["mdready"]),
    ("engineering", lambda r: r["engineering"]),
    ("notengineering", lambda r: not r["engineering"]),
    ("engineering/includeengineering", lambda r: True),
    ("science_verification", lambda r: r["science_verification"]),
    ("notcalprog", lambda r: not r["calibration_program"]),
    ("not_site_monitoring", lambda r: not r["site_monitoring"]),
    ("photstandard", lambda r: r["phot_standard"]),
    ("gpi_astrometric_standard", lambda r: False),
    ("preimage", lambda r: r["pre_image"]),
    ("Win", lambda r: r["qa_state"] in ("Pass", "Usable")),
    ("Lucky", lambda r: r["qa_state"] in ("Pass", "Undefined")),
    ("UndefinedQA", lambda r: r["qa_state"] == "Undefined"),
    ("Fail/NotFail", lambda r: r["qa_state"] != "Fail"),
    ("NotFail/AnyQA", lambda r: True),
    ("raw_iq=70", lambda r: r["raw_iq"] == 70),
    ("raw_cc=Any", lambda r: r["raw_cc"] == 100),
    ("raw_bg=20", lambda r: r["raw_bg"] == 20),
    ("raw_wv=50", lambda r: r["raw_wv"] == 50),
    ("path=a=slash=b", lambda r: r["path"] == "a/b"),
    ("path=", lambda r: r["path"] == ""),
    ("processing_tag=one", lambda r: r["processing"] == "Raw" or r["processing_tag"] == "one"),
    # of the published ones of the domain the higher priority wins
    ("processing_tag=default", lambda r: r["processing"] == "Raw" or r["processing_tag"] == "two"),
    (
        "defaults",
        lambda r: (
            not r["engineering"]
            and not r["site_monitoring"]
            and r["qa_state"] != "Fail"
            and (r["processing"] == "Raw" or r["processing_tag"] == "two")
        ),
    ),
    (
        "GMOS-N/OBJECT/science/20251121-20251124/2x2",
        lambda r: (
            (r["instrument"], r["observation_type"], r["observation_class"], r["detector_binning"])
            == ("GMOS-N", "OBJECT", "science", "2x2")
            and on("20251121", "20251124")(r)
        ),
    ),
]


KNOWN = (
    """insert into program values
       ('GN-2025B-Q-101', 'William and Caroline Herschel', 'Comets, and other surprises'),
       ('GS-2025B-FT-7', 'Caroline Lucretia', 'Clusters')""",
    "insert into programpublication values ('GN-2025B-Q-101', '1787RSPT...77....1H')",
    """insert into processingtag (tag, domain, priority, published) values
       ('one', 'd', 1, true), ('two', 'd', 2, true), ('three', 'd', 3, false)""",
)


def test_every_selection_gives_the_records_that_other_code_finds(archive: Site, made_up: HttpServer) -> None:
    with archive.engine.begin() as connection:
        for statement in KNOWN:
            connection.execute(text(statement))
    for selection, belongs in CASES:
        expected = {r["name"] for r in RECORDS if r["canonical"] and belongs(r)}
        found = names(made_up, selection)
        assert found == expected, (selection, len(found), len(expected))
    # nothing is tested by never being found
    assert sum(not any(belongs(r) for r in RECORDS) for _, belongs in CASES) <= 6


def test_every_key_of_the_table_has_a_case() -> None:
    asked = {
        key for selection, _ in CASES for key in select_files(selection.split("/"), SiteSettings()).values
    }
    assert {term.key for term in GRAMMAR} - asked <= {"canonical", "orderby", "cols"}


def test_dates_mean_the_same_nights_everywhere_at_a_site_ahead_of_utc(
    summit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fits_dagster import nights

    # an evening in the South: the night that begins has the label of tomorrow
    moment = datetime(2025, 11, 20, 20, tzinfo=UTC)

    class Evening(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return moment

    monkeypatch.setattr(nights, "datetime", Evening)
    south = summit.settings.model_copy(update={"night_hours_ahead": 6.0})
    insert_records(summit, RECORDS)

    def found(element: str) -> set[str]:
        query = versions_query().where(select_files([element], south).where)
        with summit.engine.connect() as connection:
            return {row.name for row in connection.execute(query)}

    [tonight, *same] = map(found, ("tonight", "20251121", "night=20251121", "20251121--20251121"))
    assert tonight and same == [tonight] * 3
    assert found("lastnight") == found("20251120")
    assert found("date=20251121") != found("20251121")
    # a telescope that is none of ours keeps the hours of its site
    with summit.engine.begin() as connection:
        taken = moment.replace(tzinfo=None)
        connection.execute(update(header).values(telescope="Elsewhere", ut_datetime=taken))
    assert found("tonight") == found("20251121") != set() == found("20251120")


def test_a_bare_date_is_a_night_at_a_summit(summit: Site) -> None:
    insert_records(summit, RECORDS)
    server, stop = serve(create_app(summit, session_hours=1))
    try:
        for selection, belongs in (
            ("20251121", on("20251121", ahead=6)),
            ("20251121-20251122", on("20251121", "20251122", ahead=6)),
            ("date=20251121", on("20251121")),
        ):
            expected = {r["name"] for r in RECORDS if r["canonical"] and belongs(r)}
            assert names(server, selection) == expected
        assert names(server, "20251121") != names(server, "date=20251121")
    finally:
        stop()


# ---- order and limits


@pytest.mark.parametrize(
    ("orderby", "key"),
    [
        ("", lambda r: r["name"]),
        ("?orderby=entrytime", lambda r: r["entrytime"]),
        ("?orderby=entrytime_desc", lambda r: -r["entrytime"].timestamp()),
        ("?orderby=exposure_time_desc&orderby=data_label", lambda r: (-r["exposure_time"], r["data_label"])),
        ("/orderby=data_label", lambda r: r["data_label"]),
    ],
)
def test_lists_come_in_the_order_that_is_asked_for(
    made_up: HttpServer, orderby: str, key: Callable[[Record], Any]
) -> None:
    answer = requests.get(f"{made_up.url}/jsonsummary/20251121{orderby}", timeout=10)
    expected = sorted((r for r in RECORDS if r["canonical"] and on("20251121")(r)), key=key)
    assert [each["name"] for each in answer.json()] == [r["name"] for r in expected]


def test_open_and_closed_lists_end_at_their_limits_and_say_so(
    archive: Site, archive_http: HttpServer
) -> None:
    many = [
        r | {"canonical": True, "name": f"N20251121S{n:04d}.fits"} for n, r in enumerate(make_records(2100))
    ]
    insert_records(archive, many)
    opened, closed = ask(archive_http, "includeengineering"), ask(archive_http, "filepre=N20251121S")
    assert (len(opened.json()), opened.headers["X-Fits-Dagster-Truncated"]) == (500, "500")
    assert (len(closed.json()), closed.headers["X-Fits-Dagster-Truncated"]) == (2000, "2000")
    assert opened.json()[-1]["results_truncated"] is closed.json()[-1]["results_truncated"] is True
    assert len(ask(archive_http, "", "jsonqastate").json()) == 2100
    whole = ask(archive_http, "filepre=N20251121S00")
    assert (len(whole.json()), "X-Fits-Dagster-Truncated" in whole.headers) == (100, False)
    assert "results_truncated" not in whole.json()[-1]
