"""Routes of Gemini's servers that this one does not have: 404, with a line that names what serves instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fits_dagster.web.errors import refusal

__all__ = ["LEFT_OUT", "router"]

router = APIRouter()

_ELSEWHERE: Final = "this belongs to other parts of an observatory"
_TAPES: Final = "there are no tapes here; stores are directories or S3"
_ACCOUNTS: Final = "accounts are made by staff: fits-dagster user"
_LOGS: Final = "requests are in the web application's log"
_GMOS_CALS: Final = "/calibrations/<selection> and /jsonsummary/<selection> with BIAS or twilight"

#: First element of the path, and what serves instead.
LEFT_OUT: Final[Mapping[str, str]] = {
    "associated_cals_json": "/associatedcals/<selection> has the same as JSON",
    "associated_obslogs": "/obslogs/<date or program>",
    "logcomments": _ELSEWHERE,
    "miscfiles": "files that are not FITS are not served",
    "content": "/summary/<selection>, and fits-dagster status",
    "stats": "fits-dagster status",
    "curation": "the checks in the Dagster UI, /dagster",
    "usagereport": _LOGS,
    "usagestats": _LOGS,
    "usagedetails": _LOGS,
    "downloadlog": _LOGS,
    "filedownloadlog": _LOGS,
    "fileuploadlog": "fits-dagster history <name> says when a file was uploaded",
    "monitoring": _ELSEWHERE,
    "processinglog": _ELSEWHERE,
    "qareport": _ELSEWHERE,
    "qametrics": _ELSEWHERE,
    "qaforgui": _ELSEWHERE,
    "tape": _TAPES,
    "tapefile": _TAPES,
    "taperead": _TAPES,
    "tapewrite": _TAPES,
    "xmltape": _TAPES,
    "jsontapefile": _TAPES,
    "standardobs": "phot_standard in /jsonsummary/photstandard/<selection>",
    "gmoscal": _GMOS_CALS,
    "gmoscaljson": _GMOS_CALS,
    "gmoscaltwilightdetails": _GMOS_CALS,
    "gmoscaltwilightfiles": _GMOS_CALS,
    "gmoscalbiasfiles": _GMOS_CALS,
    "request_account": _ACCOUNTS,
    "password_reset": _ACCOUNTS,
    "request_password_reset": _ACCOUNTS,
    "change_password": _ACCOUNTS,
    "change_email": _ACCOUNTS,
    "my_programs": "/programs/<words>",
    "user_list": _ACCOUNTS,
    "staff_access": _ACCOUNTS,
    "admin_change_email": _ACCOUNTS,
    "admin_change_password": _ACCOUNTS,
    "admin_file_permissions": _ACCOUNTS,
    "notification": "alerts go by mail and web hook, see the settings",
    "import_odb_notifications": _ELSEWHERE,
    "noirlabsso": "/login; there is no single sign-on",
    "orcid": "/login; there is no single sign-on",
}


def _refuse(request: Request) -> Response:
    name = request.url.path.split("/")[1]
    return refusal(404, f"/{name} is not served here: {LEFT_OUT[name]}")


for _name in LEFT_OUT:
    for _path in (f"/{_name}", f"/{_name}/{{rest:path}}"):
        router.add_api_route(_path, _refuse, methods=["GET", "POST"], include_in_schema=False)
