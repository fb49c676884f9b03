"""``python -m fits_dagster.web SITE``: serve one site's web application."""

from __future__ import annotations

from fits_dagster.startup import quick_imports


def main() -> None:
    """Serve until told to stop."""
    with quick_imports():
        from fits_dagster.web.serving import prepare

        server, listening = prepare()
    with listening:
        server.run(sockets=[listening])


if __name__ == "__main__":
    main()
