"""The wheel works alone: everything that a system needs travels in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_the_configuration_of_the_checkout_is_that_of_the_package(name: str) -> None:
    packaged = ROOT / "fits_dagster" / "orchestration" / "configuration" / name
    assert (ROOT / name).read_text() == packaged.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_demonstrates_itself_in_an_empty_directory(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    # a build leaves its traces beside the sources
    sources = tmp_path / "sources"
    shutil.copytree(ROOT / "fits_dagster", sources / "fits_dagster")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, sources)
    subprocess.run([*build, "--wheel-dir", str(wheels), str(sources)], check=True, timeout=200)
    [wheel] = wheels.glob("fits_dagster-*.whl")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "FITS_", "PYTHON"))}
    # its dependencies are those installed here; the package itself is the wheel's
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    here = [path for path in sys.path if path.endswith("site-packages")]
    (Path(site) / "dependencies.pth").write_text("\n".join(here) + "\n")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", site, str(wheel)]
    subprocess.run(install, check=True, timeout=200)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [
            str(python),
            "-m",
            *("fits_dagster", "demo", "--exit", "--files=6", "--seconds=3", "--json=demo.json"),
        ],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((empty / "demo.json").read_text())
    assert (figures["md5_equal"], figures["missing_count"]) == (6, 0)
    where = [str(python), "-c", "import fits_dagster; print(fits_dagster.__file__)"]
    shown = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith(site), "it was the wheel that ran"
