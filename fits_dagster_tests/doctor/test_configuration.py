"""What the doctor says of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from fits_dagster.doctor import configuration
from fits_dagster.doctor.finding import exit_status
from fits_dagster.settings import Settings
from fits_dagster_tests.doctor.said import verdicts


@pytest.mark.parametrize(
    ("content", "verdict", "word"),
    [
        ("[work]\nworkers = -1\n", "wrong", "work.workers"),
        ("[work\n", "wrong", "Expected"),
        ("[alert]\nemail_to = []\n", "wrong", "did you mean alerts?"),
        ("keep_runs_days = 3\n", "ok", "secrets"),
        # somebody else could read the secret
        ('database_url = "postgresql://u:p@localhost"\n', "warning", "chmod 600"),
    ],
)
def test_settings_that_are_wrong_are_told(tmp_path: Path, content: str, verdict: str, word: str) -> None:
    (tmp_path / "settings.toml").write_text(content)
    (tmp_path / "settings.toml").chmod(0o644)
    settings, found = configuration.read_settings(tmp_path)
    if settings is not None:
        found += configuration.settings_file(settings)
    assert max(found, key=lambda each: exit_status([each])).verdict == verdict
    assert any(word in each.message + each.remedy for each in found)


def test_nobody_to_tell_is_a_warning(settings: Settings) -> None:
    assert verdicts(configuration.alert_ways(settings)) == {"alerts": "warning"}
    told = settings.alerts.model_copy(update={"webhook_url": SecretStr("http://chat.example.org")})
    assert verdicts(configuration.alert_ways(settings.model_copy(update={"alerts": told}))) == {
        "alerts": "ok"
    }
