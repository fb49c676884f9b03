"""Every command: its help, a test that runs it, and documents that show it as it is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

import fits_dagster
from fits_dagster.cli import cli, main
from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork, new_lease
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.storage.landing import temporary_beside
from fits_dagster.upkeep import leftovers
from fits_dagster_tests.builders.flow import store_of

TESTS = Path(__file__).resolve().parents[1]
ROOT = Path(fits_dagster.__path__[0]).parent
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
NAME = "N20251123S0001.fits"

#: Which tests run a command and look at what it says or does; the command's name stands there in quotes.
TESTED = {
    "demo": "test_package.py",
    "up": "system/test_up.py",
    "worker": "cli/test_worker.py",
    "status": "system/test_up.py",
    "doctor": "doctor/test_doctor.py",
    "deploy prepare": "deploy/test_systemd.py",
    "deploy systemd": "deploy/test_systemd.py",
    "migrate": "cli/test_commands.py",
    "user add": "web/test_access.py",
    "user list": "cli/test_commands.py",
    "user grant": "web/test_data_rights.py",
    "user withdraw": "web/test_data_rights.py",
    "logs": "test_logs.py",
    "queue add": "requeue/test_versions.py",
    "queue cancel": "requeue/test_files.py",
    "queue drain": "cli/test_commands.py",
    "queue list": "cli/test_commands.py",
    "queue pause": "cli/test_commands.py",
    "queue resume": "cli/test_commands.py",
    "queue retry": "cli/test_commands.py",
    "queue show": "cli/test_commands.py",
    "history": "cli/test_commands.py",
    "add-to-ingest-queue": "system/test_up.py",
    "add-to-export-queue": "requeue/test_versions.py",
    "add-to-preview-queue": "requeue/test_versions.py",
    "add-to-calcache-queue": "requeue/test_versions.py",
    "night": "cli/test_commands.py",
    "reconcile": "upkeep/test_scrub.py",
    "scrub": "upkeep/test_scrub.py",
    "alerts list": "alerts/test_alerts.py",
    "alerts look": "cli/test_commands.py",
    "alerts test": "alerts/test_alerts.py",
    "audit": "requeue/test_files.py",
    "backup": "backup/test_backup.py",
    "restore": "backup/test_backup.py",
    "rebuild": "requeue/test_rebuild.py",
    "token add": "web/test_tokens.py",
    "token list": "web/test_tokens.py",
    "token revoke": "web/test_tokens.py",
    "upkeep leftovers": "cli/test_commands.py",
    "upkeep orphans": "upkeep/test_leftovers.py",
    "upkeep prune": "upkeep/test_upkeep.py",
    "upkeep remove-files": "upkeep/test_upkeep.py",
    "upkeep roll-call": "upkeep/test_upkeep.py",
    "upkeep vacuum": "upkeep/test_upkeep.py",
    "update-headers": "web/test_update_headers.py",
    "describe": "cli/test_describe.py",
    "simulate-year": "benchmarks/test_year.py",
    "simulate": "cli/test_commands.py",
    "ingest": "cli/test_commands.py",
    "calibrations": "calibration/test_command.py",
    "processing-tags list": "calibration/test_processing_tags_command.py",
    "processing-tags set": "calibration/test_processing_tags_command.py",
    "processing-tags remove": "calibration/test_processing_tags_command.py",
    "rebuild-match-keys": "calibration/test_command.py",
    # the measurements of the checkout share one way of running; each takes minutes
    "bench": "benchmarks/test_bench.py",
}


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group) and name != "bench":
            yield from commands(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


COMMANDS = dict(commands())


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, at the home and the databases of this test."""
    monkeypatch.setenv("FITS_DAGSTER_HOME", str(settings.home))
    monkeypatch.setenv("COLUMNS", "200")
    for site in settings.sites:
        url = settings.site(site).database_url
        monkeypatch.setenv(f"FITS_DAGSTER_{site.upper()}__DATABASE_URL", url)
        monkeypatch.setenv("FITS_DAGSTER_DATABASE_URL", url)
        # what has just been written is taken at once
        monkeypatch.setenv(f"FITS_DAGSTER_{site.upper()}__DEFER_SECONDS", "0")
    return lambda *words: CliRunner().invoke(cli, words)


def test_every_command_is_run_by_a_test() -> None:
    assert set(COMMANDS) == set(TESTED)
    for command, place in TESTED.items():
        content = (TESTS / place).read_text().partition("# ---- commands that no other")
        assert f'"{command.split()[-1]}"' in (content[2] or content[0]), command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    said = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert said.exit_code == 0, said.output
    assert said.output.startswith("Usage: ")
    assert COMMANDS[command].help, "it says what it does"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named_in_a_document(command: str) -> None:
    words = r"\s+".join(map(re.escape, command.split()))
    whole = "\n".join(path.read_text() for path in DOCUMENTS)
    assert re.search(rf"(fits-dagster |`){words}\b", whole)


def shown() -> Iterator[tuple[str, str]]:
    """What the documents show of the command line: in code, from ``fits-dagster`` to the end of the code."""
    for document in DOCUMENTS:
        for line in document.read_text().splitlines():
            for found in re.findall(r"fits-dagster ((?:[a-z]|-)[^`#|]*)", line):
                yield document.name, found.partition("   ")[0].strip().rstrip(":;,.)")


@pytest.mark.parametrize(("document", "line"), sorted(set(shown())))
def test_what_a_document_shows_is_a_command_with_these_options(document: str, line: str) -> None:
    words = shlex.split(line.replace("[", " ").replace("]", " "))
    command: click.Command = cli
    while words and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            assert "…" in words[0] or words[0].isupper() or words[0].startswith("--"), line
            break
        command = found
        words.pop(0)
    if isinstance(command, click.Group):
        return
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known


# ---- commands that no other test runs


def test_migrate_makes_databases_that_people_can_be_added_to(
    run: Callable[..., Result], summit: Site, archive: Site
) -> None:
    done = run("migrate")
    assert (done.exit_code, done.output) == (0, "databases of summit, archive are up to date\n")
    assert run("user", "list").output == ""
    added = run("user", "add", "anna", "--role", "operator", "--password", "A-long-passw0rd-for-tests")
    assert (added.exit_code, added.output) == (0, "archive: user anna added, operator\n")
    assert run("user", "list").output == "anna  operator\n"


@pytest.fixture
def failure(archive: Site) -> int:
    """A failed item of ingest; returns its id."""
    with archive.engine.begin() as connection:
        work.add_work(connection, [NewWork(stage="ingest", filename=NAME)])
        lease = new_lease("test", 60)
        [item] = work.claim(connection, "ingest", lease, limit=1)
        work.fail(connection, lease, item.id, reason="not_fits", message="no FITS", trace="Traceback: <here>")
    return item.id


def test_a_failed_item_is_listed_shown_tried_again_and_worked_on(
    run: Callable[..., Result], archive: Site, failure: int, night: list[Path]
) -> None:
    [item] = json.loads(run("queue", "list", "--state", "failed", "--json").output)
    assert (item["id"], item["filename"]) == (failure, NAME)
    listed = run("queue", "list").output.splitlines()
    assert max(map(len, listed)) <= 80
    assert [line for line in listed if f" {NAME} " in line and line.rstrip().endswith("not_fits")]
    assert run("queue", "list", "--site", "summit").output == "summit: nothing\n"
    said = run("queue", "show", str(failure)).output
    assert "no FITS" in said and "Traceback: <here>" in said
    assert run("queue", "show", "999999").exit_code != 0
    assert "1 item would be" in run("queue", "retry", "--reason", "not_fits", "--dry-run").output
    assert run("queue", "retry", "--reason", "not_fits").exit_code == 0
    [item] = json.loads(run("queue", "list", "--json").output)
    assert (item["filename"], item["state"]) == (NAME, "waiting")
    (store_of(archive) / NAME).write_bytes(night[0].read_bytes())
    assert run("queue", "pause", "ingest").output == "archive: ingest is paused\n"
    assert "0 failed" in run("queue", "drain", "ingest").output
    assert run("queue", "resume", "ingest").output == "archive: ingest goes on\n"
    assert run("queue", "resume", "ingest").output == "archive: ingest was not paused\n"
    done = run("queue", "drain", "ingest")
    assert (done.exit_code, "ingest: 1 ingested, 0 failed" in done.output) == (0, True), done.output
    told = run("history", NAME, "--site", "archive")
    assert (told.exit_code, f"archive: {NAME}" in told.output) == (0, True)
    assert run("history", "N20990101S0001", "--site", "archive").exit_code == 1


def test_a_night_is_simulated_and_loaded(run: Callable[..., Result], archive: Site, tmp_path: Path) -> None:
    made = run("simulate", "--out", str(tmp_path / "night"), "--night", "20251123", "--files", "2")
    assert (made.exit_code, made.stdout.lstrip().startswith("2 files, ")) == (0, True), made.output
    files = sorted((tmp_path / "night").iterdir())
    assert len(files) == 2
    loaded = run("ingest", str(tmp_path / "night"), "--site", "archive")
    assert (loaded.exit_code, "ingest: 2 ingested" in loaded.output) == (0, True), loaded.output
    with archive.engine.connect() as connection:
        names = connection.scalars(text("select name from file order by name")).all()
    assert names == [path.name for path in files]
    assert "unchanged" in run("ingest", str(tmp_path / "night"), "--site", "archive").output
    assert run("simulate", "--out", str(tmp_path), "--instrument", "nothing").exit_code == 2


def test_a_night_without_files_is_no_error_and_a_label_must_be_one(
    run: Callable[..., Result], summit: Site
) -> None:
    told = run("night", "20251123", "--json")
    assert told.exit_code == 0, told.output
    [report] = json.loads(told.output)
    assert report["night"] == "20251123"
    assert run("night", "2025").exit_code == 2


def test_what_is_wrong_now_is_told_without_telling_anybody(
    run: Callable[..., Result], summit: Site, archive: Site, failure: int
) -> None:
    found = run("alerts", "look")
    assert found.exit_code == 0, found.output
    assert "not_fits" in found.output or NAME in found.output
    assert run("alerts", "list").output == "nothing\n"


def test_what_died_left_nothing(
    run: Callable[..., Result], archive: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = temporary_beside(store_of(archive) / NAME)
    left.write_bytes(b"half")
    assert "0 temporary files, 0 uploads" in run("upkeep", "leftovers").output, "it may still be written"
    # nobody can make a file look as if it had been left alone for an hour
    monkeypatch.setattr(leftovers, "_ABANDONED_S", 0.0)
    assert "1 temporary files" in run("upkeep", "leftovers", "--dry-run").output
    assert left.exists()
    assert "1 temporary files" in run("upkeep", "leftovers").output
    assert not left.exists()


@pytest.mark.parametrize(
    "line",
    [
        "status",
        "doctor",
        f"history {NAME}",
        f"calibrations {NAME}",
        "night 20251123",
        "queue list",
        "queue retry --dry-run --stage ingest",
        "processing-tags list",
        "user list",
        "token list --site archive",
        "audit",
        "logs",
        "alerts look",
        "alerts list",
        "rebuild --dry-run",
        "rebuild-match-keys --dry-run",
        "migrate --dry-run",
        "add-to-ingest-queue --dry-run --file-re S0001",
        "upkeep leftovers --dry-run",
        "scrub --all --dry-run",
    ],
)
def test_what_only_looks_makes_nothing(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is no home stays none, whoever has mistyped it."""
    home = tmp_path / "mistyped"
    monkeypatch.setenv("FITS_DAGSTER_HOME", str(home))
    told = CliRunner().invoke(cli, shlex.split(line))
    assert told.exit_code != 0, told.output
    assert isinstance(told.exception, SystemExit | FileNotFoundError), told.exception
    assert str(home) in f"{told.output} {told.exception}"
    assert not home.exists(), list(home.rglob("*"))


def test_a_database_that_is_down_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = tmp_path / "home" / "postgresql"
    server.mkdir(parents=True)
    (server / "url").write_text(f"postgresql://postgres:@/postgres?host={server}/run")
    monkeypatch.setattr("sys.argv", ["fits-dagster", "queue", "list", "--home", str(tmp_path / "home")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "the database does not answer" in line
    assert "fits-dagster up" in line
