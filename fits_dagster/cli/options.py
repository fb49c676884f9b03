"""Options that several commands share."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from fits_dagster.settings import Settings, SiteName, load_settings
from fits_dagster.settings.names import nearest

__all__ = ["StageName", "home_option", "json_option", "person_at_the_keyboard", "site_option", "sites_option"]

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FITS_DAGSTER_HOME",
    default=Path("var"),
    show_default=True,
    # the settings in it say which sites there are
    is_eager=True,
    help="Directory that holds everything.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


_Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


def site_option(profile: str | None) -> _Decorator:
    """Make the option ``--site``. Without it, it is the one site here of a profile, or else the only one.

    Where the default is another one, there is no profile, and the command is given None.
    """

    def choose(context: click.Context, parameter: click.Parameter, given: str | None) -> SiteName | None:
        if given is None and profile is None:
            return None
        settings = _settings(context)
        if given is not None:
            return _site_here(settings, given, context, parameter)
        alike = [name for name in settings.sites if settings.site(name).profile == profile]
        fitting = alike or settings.sites
        if len(fitting) > 1:
            raise click.MissingParameter(
                f"There are {', '.join(fitting)}.", context, parameter, param_type="option"
            )
        return fitting[0]

    default = f"the {profile}, or the only one there is" if profile else "the one that has the stage"
    return click.option(
        "--site",
        metavar="NAME",
        callback=choose,
        help=f"Which site of this machine.  [default: {default}]",
    )


def _settings(context: click.Context) -> Settings:
    # a program of a running system has the settings of the system
    return load_settings(None if "FITS_DAGSTER_EFFECTIVE_SETTINGS" in os.environ else context.params["home"])


def _site_here(settings: Settings, name: str, context: click.Context, parameter: click.Parameter) -> SiteName:
    if name in settings.sites:
        return name
    near = nearest(name, settings.sites)
    hint = f"; did you mean {near!r}?" if near else ""
    message = f"{name!r} is no site of this machine; there are {', '.join(settings.sites)}{hint}"
    raise click.BadParameter(message, context, parameter)


def _sites_here(
    context: click.Context, parameter: click.Parameter, given: Sequence[str]
) -> Sequence[SiteName]:
    if not given:
        return ()
    settings = _settings(context)
    return [_site_here(settings, name, context, parameter) for name in dict.fromkeys(given)]


def sites_option(*, required: bool, help: str) -> _Decorator:
    """Make the option ``--site`` that may be given more than once, as ``sites``."""
    return click.option(
        "--site", "sites", metavar="NAME", multiple=True, required=required, callback=_sites_here, help=help
    )


class StageName(click.ParamType):  # type: ignore[type-arg]
    """The name of a stage. What stages there are is looked up when one is given, not for every command."""

    name = "stage"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is no stage."""
        from fits_dagster.stages.registry import all_stages

        if value not in all_stages():
            self.fail(f"{value!r} is no stage; there are {', '.join(all_stages())}", param, ctx)
        return str(value)


def person_at_the_keyboard() -> str:
    """Return who runs a command, for the audit."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()} (command line)"
