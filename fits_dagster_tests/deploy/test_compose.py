"""compose.yaml and Dockerfile: what can be said of them without starting them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from compose_spec import PyCompose

from fits_dagster.cli import cli
from fits_dagster.settings import load_settings

ROOT = Path(__file__).parents[2]
SECRETS = (
    "DATABASE_PASSWORD",
    "BROKER_PASSWORD",
    "OBJECTS_PASSWORD",
    "UPLOAD_COOKIE",
    "API_COOKIE",
    "METRICS_TOKEN",
)
OURS = ("bucket", "summit", "summit-worker", "archive", "archive-worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file with its variables filled in, as Compose does."""
    text = (ROOT / "compose.yaml").read_text()
    found = set(re.findall(r"\$\{(\w+)", text))
    assert found == set(SECRETS)
    filled = re.sub(r"\$\{(\w+):\?\}", lambda match: f"0{match[1].lower()}", text)
    assert "$" not in filled.replace("$$", ""), "no secret has a default"
    content: dict[str, Any] = yaml.safe_load(filled.replace("$$", "$"))
    return content


def test_it_is_a_compose_file(compose: dict[str, Any]) -> None:
    # with its anchors resolved
    read = PyCompose.from_yaml(yaml.safe_dump(compose))
    read.validate()
    assert set(read.service_names()) == set(compose["services"])


def test_it_has_what_a_whole_system_needs(compose: dict[str, Any]) -> None:
    others = {"summit-database", "archive-database", "broker", "objects", "prometheus"}
    assert set(compose["services"]) == {*OURS, *others}
    assert set(compose) - {"name", "services", "volumes"} == {
        *("x-fits", "x-summit", "x-archive", "x-database")
    }


def test_everything_that_is_named_is_there(compose: dict[str, Any]) -> None:
    volumes, used = set(compose["volumes"]), set()
    for service in compose["services"].values():
        assert ("image" in service) and set(service.get("depends_on", ())) <= set(compose["services"])
        used |= {volume.split(":")[0] for volume in service.get("volumes", ())}
        # what listens is for this machine; a proxy with a certificate is for the others
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for name, needed in dict.items(
            service["depends_on"] if isinstance(service.get("depends_on"), dict) else {}
        ):
            if needed["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][name]
    assert used == volumes


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_and_acceptable(
    compose: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in [v for v in os.environ if v.startswith("FITS_DAGSTER")]:
        monkeypatch.delenv(variable)
    variables = compose["services"][name]["environment"]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    # it refuses what is none
    settings = load_settings(tmp_path)
    assert settings.work.worker_processes == 0
    assert settings.database_url and settings.broker_url.get_secret_value()
    if settings.sites == ("summit",):
        assert settings.summit.export_destinations == ("http://archive:8180",)
        assert settings.summit.export_cookie.get_secret_value() == "0upload_cookie"
    else:
        assert [cookie.get_secret_value() for cookie in settings.archive.upload_cookies] == ["0upload_cookie"]
        assert (settings.archive.store, settings.archive.s3.bucket) == ("s3", "fits")


@pytest.mark.parametrize("name", [name for name in OURS if name != "bucket"])
def test_every_command_is_one_of_ours(compose: dict[str, Any], name: str) -> None:
    command, *arguments = compose["services"][name]["command"]
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    found.make_context(command, list(arguments))


def test_the_two_systems_share_nothing_but_the_broker(compose: dict[str, Any]) -> None:
    summit, archive = compose["x-summit"], compose["x-archive"]
    for name in ("INSTANCE_NAME", "DATABASE_URL", "BROKER_URL"):
        assert summit[f"FITS_DAGSTER_{name}"] != archive[f"FITS_DAGSTER_{name}"]
    # a worker works in the directories of its site, but not in its home, which has one system
    for site, shared in (("summit", {"dhs", "dataflow", "summit-staging"}), ("archive", {"archive-staging"})):
        of = {
            name: {volume.split(":")[0] for volume in compose["services"][name]["volumes"]}
            for name in (site, f"{site}-worker")
        }
        assert of[site] & of[f"{site}-worker"] == shared


def test_prometheus_asks_both_sites_with_the_token(compose: dict[str, Any]) -> None:
    [job] = yaml.safe_load(compose["services"]["prometheus"]["environment"]["CONFIGURATION"])[
        "scrape_configs"
    ]
    assert job["authorization"]["credentials"] == "0metrics_token"
    targets = [target for each in job["static_configs"] for target in each["targets"]]
    assert targets == ["summit:8181", "archive:8180"]


def test_the_bucket_is_made_by_python_that_compiles(compose: dict[str, Any]) -> None:
    python, option, program = compose["services"]["bucket"]["entrypoint"]
    assert (python, option) == ("python", "-c")
    compile(program, "bucket", "exec")


def test_the_dockerfile_copies_what_is_there() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied
    for name in copied:
        assert (ROOT / name).exists() and f"!{name}" in let_in
    assert 'ENTRYPOINT ["fits-dagster"]' in lines
    assert lines.index("USER fitsdata") > max(n for n, line in enumerate(lines) if line.startswith("RUN"))
