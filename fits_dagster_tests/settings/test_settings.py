"""Settings: any number of sites with a profile each, and no name that means nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from fits_dagster.settings import Settings, SettingsError, load_settings
from fits_dagster.system.up import _free_ports, _with_shared_secret

TWO_SUMMITS = """
sites = ["north", "south", "archive"]
[north]
profile = "summit"
[south]
profile = "summit"
night_hours_ahead = 6
"""
ONE_SERVER = """
sites = ["observatory"]
[observatory]
profile = "summit"
export_destinations = []
using_previews = true
using_calibration_cache = true
"""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment says of settings."""
    for name in [name for name in os.environ if name.startswith("FITS_DAGSTER_")]:
        monkeypatch.delenv(name)


def read(home: Path, content: str) -> Settings:
    """Settings of a home with a configuration file."""
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text(content)
    return load_settings(home)


def test_settings_of_the_first_release_mean_what_they_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITS_DAGSTER_SUMMIT__PORT", "8999")
    found = read(tmp_path, '[summit]\nstore_directory = "/sci/dataflow"\n[archive]\nstore = "s3"\n')
    assert found.sites == ("summit", "archive")
    summit, archive = found.site("summit"), found.site("archive")
    assert (summit.port, archive.port) == (8999, 8180)
    assert summit.dhs_directory == tmp_path / "dhs"
    assert summit.store_directory == Path("/sci/dataflow")
    assert archive.store_directory == tmp_path / "archive" / "store"
    assert archive.receives_uploads and archive.using_previews and archive.using_calibration_cache
    assert summit.export_destinations == summit.replicas == ("http://127.0.0.1:8180",)
    assert archive.replicas == ("http://127.0.0.1:8999",)
    assert [rescan.name for rescan in summit.rescans][:2] == ["fourday", "twentyday"]


def test_a_server_that_is_only_one_of_the_two_knows_where_the_other_is(tmp_path: Path) -> None:
    found = read(tmp_path, 'sites = ["summit"]\n[archive]\nport = 9000\n')
    assert found.sites == ("summit",)
    assert found.site("summit").export_destinations == ("http://127.0.0.1:9000",)


def test_two_summits_have_everything_of_their_own_and_share_an_archive(tmp_path: Path) -> None:
    found = read(tmp_path, TWO_SUMMITS)
    north, south, archive = (found.site(name) for name in found.sites)
    assert set(found.tables) == {"north", "south", "archive"}
    assert (north.dhs_directory, south.dhs_directory) == (tmp_path / "north/dhs", tmp_path / "south/dhs")
    assert len({site.port for site in found.tables.values()}) == 3
    assert (north.night_hours_ahead, south.night_hours_ahead) == (0, 6)
    assert north.export_destinations == south.export_destinations == (archive.url,)
    assert archive.replicas == (north.url, south.url)
    assert north.rescans == south.rescans != ()


def test_the_sites_of_a_machine_share_a_secret_and_find_each_other_on_other_ports(tmp_path: Path) -> None:
    with _free_ports(_with_shared_secret(read(tmp_path, TWO_SUMMITS))) as found:
        north, south, archive = (found.site(name) for name in found.sites)
    assert north.export_destinations == south.export_destinations == (archive.url,)
    assert archive.replicas == (north.url, south.url)
    secret = north.export_cookie.get_secret_value()
    assert secret == south.export_cookie.get_secret_value() == archive.upload_cookies[0].get_secret_value()
    assert north.export_api_cookie == south.export_api_cookie == archive.api_cookies[0]


def test_what_names_a_site_follows_it_to_another_port(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = read(tmp_path, f"{TWO_SUMMITS}[archive]\nport = {port}\n")
        with _free_ports(settings) as found:
            archive = found.site("archive")
            assert archive.port != port
            assert found.site("south").export_destinations == found.site("south").replicas == (archive.url,)


def test_one_server_does_everything_and_sends_nothing(tmp_path: Path) -> None:
    from fits_dagster.stages.registry import stages_of

    found = read(tmp_path, ONE_SERVER)
    stages = {stage.name for stage in stages_of(found.site("observatory"))}
    assert {"copy", "ingest", "preview", "associate"} <= stages
    assert stages.isdisjoint({"export", "store"})


def test_settings_in_force_are_the_same_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fits_dagster.settings import write_effective

    found = _with_shared_secret(read(tmp_path, TWO_SUMMITS))
    write_effective(found, tmp_path / "effective.json")
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(tmp_path / "effective.json"))
    # what is written into the file while the system runs is for the next start
    (tmp_path / "settings.toml").write_text("nonsense = 1")
    assert load_settings() == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sesion_hours = 3", "settings.toml: sesion_hours is no setting; did you mean session_hours?"),
        ("[work]\nworker = 3", "settings.toml: work.worker is no setting; did you mean work.workers?"),
        ("[summit]\nprot = 1", "settings.toml: summit.prot is no setting; did you mean summit.port?"),
        ("[archive.s3]\nbuckets = 'a'", "archive.s3.buckets is no setting; did you mean archive.s3.bucket?"),
        (
            "[[summit.rescans]]\nname = 'a'\ncron = ''\nfile_er = ''",
            "summit.rescans.file_er is no setting; did you mean summit.rescans.file_re?",
        ),
        ("[work]\nstanding_runs = 2", "work.standing_runs is no longer a setting: runs no longer stand by"),
        # a name in the wrong place
        ("linger_seconds = 3", "linger_seconds is no setting; did you mean work.linger_seconds?"),
        ("[sumit]\nport = 1", "sumit is no setting; did you mean summit? (the table of a site that does"),
        ("tables = {}", "tables is no setting"),
        ('sites = ["north"]', 'the site \'north\' has no profile: write profile = "summit" or "archive"'),
        (
            'sites = ["north"]\n[north]\nprofile = "sumit"',
            "the site 'north' has the profile 'sumit', which there is not: did you mean 'summit'?",
        ),
        ('sites = ["North"]', "'North' is no name for a site: small letters"),
        ('sites = ["work"]', "'work' is no name for a site: a setting is called so"),
        ('sites = "summit"', "sites is 'summit' instead of a list of names"),
        ("sites = [", "settings.toml cannot be read: "),
    ],
)
def test_a_name_that_means_nothing_is_an_error_with_the_nearest_right_one(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("FITS_DAGSTER_SESION_HOURS", "did you mean FITS_DAGSTER_SESSION_HOURS?"),
        ("FITS_DAGSTER_ARCHIVE_PORT", "did you mean FITS_DAGSTER_ARCHIVE__PORT?"),
        ("FITS_DAGSTER_ARCHIVE__PROT", "did you mean FITS_DAGSTER_ARCHIVE__PORT?"),
        ("FITS_DAGSTER_NROTH__PORT", "did you mean FITS_DAGSTER_NORTH__PORT?"),
        ("FITS_DAGSTER_ARCHIVE__S3__BUKET", "did you mean FITS_DAGSTER_ARCHIVE__S3__BUCKET?"),
    ],
)
def test_a_variable_that_means_nothing_is_an_error_with_the_nearest_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, message: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, TWO_SUMMITS)
    assert str(caught.value) == f"{variable} is no setting; {message}"


def test_a_site_may_be_described_by_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITS_DAGSTER_SITES", '["north"]')
    monkeypatch.setenv("FITS_DAGSTER_NORTH__PROFILE", "summit")
    monkeypatch.setenv("FITS_DAGSTER_NORTH__EXPORT_DESTINATIONS", '["https://archive.example"]')
    monkeypatch.setenv("FITS_DAGSTER_NORTH__S3__BUCKET", "frames")
    found = load_settings(tmp_path).site("north")
    assert found.export_destinations == found.replicas == ("https://archive.example",)
    assert found.s3.bucket == "frames"


def test_the_nearest_site_is_named_for_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no site 'noth'; there are north, south, archive; did you mean"):
        read(tmp_path, TWO_SUMMITS).site("noth")


def test_a_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITS_DAGSTER_CONFIG", str(tmp_path / "nothing.toml"))
    with pytest.raises(SettingsError, match=r"FITS_DAGSTER_CONFIG names .*nothing.toml, which is no file"):
        load_settings(tmp_path)
