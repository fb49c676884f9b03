"""The tables of the settings: what can be configured of a site, of its work, of the alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FilePath, IPvAnyNetwork, SecretStr, field_validator

from fits_dagster.nights import FIRST_NIGHT, Night, NightClock

__all__ = [
    "AlertSettings",
    "Frozen",
    "RescanSettings",
    "S3Settings",
    "SiteName",
    "SiteSettings",
    "WorkSettings",
]

#: Lower-case letters, digits and single underscores: it is part of databases, jobs and queues.
SiteName: TypeAlias = str


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class S3Settings(Frozen):
    """Where objects live when a site's store is S3. Credentials come from the usual AWS places."""

    #: Bucket of the objects.
    bucket: str = ""
    #: Endpoint of an S3-compatible server; empty for AWS itself.
    endpoint_url: str = ""
    #: Region of the bucket.
    region: str = "us-west-2"
    #: Optional read-only bucket that is asked when the main bucket lacks a key.
    underlay_bucket: str = ""
    #: Attempts of one request before it counts as failed (back-off with jitter between them).
    max_attempts: int = Field(default=5, ge=1)
    #: Seconds of silence after which an attempt has failed.
    silence_seconds: float = Field(default=60.0, gt=0)
    #: Megabytes of fetched objects that are kept below ``staging_directory`` for the stage after; 0: none.
    keep_mb: int = Field(default=4096, ge=0)


class WorkSettings(Frozen):
    """How the stages work through their queues."""

    #: Threads of one run; 0 means one for each core, at most four.
    workers: int = Field(default=0, ge=0)
    #: A run ends when its night has been quiet for so many seconds.
    linger_seconds: float = Field(default=30.0, ge=0)
    #: Seconds between looks at the queue while a run waits; new work is announced and does not wait for one.
    poll_seconds: float = Field(default=0.5, gt=0)
    #: Seconds that a sensor's tick waits for something to happen: a little less than a multiple of five.
    tick_seconds: float = Field(default=24.3, ge=0, le=50)
    #: Longest time of one run; then the next one takes over.
    max_run_seconds: float = Field(default=900.0, gt=0)
    #: Runs that may share the backlog of one stage and night: by stage, and of all others.
    runs_per_backlog: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    default_runs_per_backlog: int = Field(default=2, ge=1)
    #: Most processes of a worker, one for each run at work; they come when they are needed, and go again.
    #: 0: ``up`` starts none, because other machines work.
    worker_processes: int = Field(default=16, ge=0)
    #: A worker's process is replaced after so many runs, or when it holds so much memory.
    worker_recycle_runs: int = Field(default=100, ge=1)
    worker_recycle_mb: int = Field(default=500, ge=100)
    #: Work items taken by one claim.
    batch_size: int = Field(default=32, ge=1)
    #: Lease of a claimed item; renewed every third of it while the worker lives.
    lease_seconds: float = Field(default=60.0, gt=0)
    #: While files come in numbers, one that has calibrations waits so many seconds before they are looked for
    #: again, so that all that come meanwhile are found at once.
    associate_again_seconds: float = Field(default=10.0, ge=0)
    #: Attempts before a transient error becomes a failure (export retries for ever).
    max_attempts: int = Field(default=8, ge=1)
    #: First and longest delay between attempts.
    retry_base_seconds: float = Field(default=5.0, gt=0)
    retry_cap_seconds: float = Field(default=300.0, gt=0)
    #: Up to so many nights with work get a run each; when there are more, old ones share one run.
    nights_with_own_run: int = Field(default=2, ge=0)
    #: Label of the first night that Dagster shows; files of earlier ones are worked on without a night.
    first_night: str = FIRST_NIGHT

    @field_validator("first_night")
    @classmethod
    def _is_a_night(cls, label: str) -> str:
        return str(max(Night.parse(label), Night.parse(FIRST_NIGHT)))

    def most_runs(self, stage: str) -> int:
        """Return how many runs may share a backlog of a stage."""
        return self.runs_per_backlog.get(stage, self.default_runs_per_backlog)


class RescanSettings(Frozen):
    """A periodic look at a directory of the store for files that were changed by hand."""

    #: Name of the look; its schedule is called after it.
    name: str
    #: Minute, hour, day, month, weekday, in the site's time zone.
    cron: str
    #: Directory in the store.
    path: str = ""
    #: Regular expression searched in the names, or today, twoday, fourday, tenday, twentyday.
    file_re: str = ""
    #: Whether it takes place.
    enabled: bool = True


class AlertSettings(Frozen):
    """Who is told, how, and from when on something is worth telling."""

    #: Mail server and addresses; nobody is written to without an address.
    smtp_host: str = "localhost"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    email_from: str = ""
    email_to: tuple[str, ...] = ()
    subject_prefix: str = "[fits_dagster]"
    #: Address that gets a JSON object with ``text`` and ``alerts`` by POST (chat services take it).
    webhook_url: SecretStr = SecretStr("")
    #: Seconds after which a mail server or that address has not answered.
    timeout_seconds: float = Field(default=10.0, gt=0)
    #: Seconds between two looks; and between two looks at whole nights, which ask the destinations.
    look_seconds: float = Field(default=30.0, gt=0)
    night_seconds: float = Field(default=300.0, gt=0)
    #: What comes back within this time after it was told is not told again.
    quiet_minutes: float = Field(default=30.0, ge=0)
    #: What lasts is told again after this time.
    repeat_hours: float = Field(default=6.0, gt=0)
    #: So many files due in one stage are worth telling.
    long_queue: int = Field(default=1000, ge=1)
    #: A destination that has not taken files for so long is worth telling.
    destination_minutes: float = Field(default=15.0, gt=0)
    #: Dagster's daemon and sensors must give a sign of life so often.
    tick_minutes: float = Field(default=5.0, gt=0)
    #: Least free space of the sites' directories, and of further or single ones, GB (1024^3 bytes).
    least_free_gb: float = Field(default=5.0, ge=0)
    disk_free_gb: dict[str, float] = Field(default_factory=dict)


class SiteSettings(Frozen):
    """One server: its directories, its partners and its secrets."""

    #: Profile that the defaults come from: ``summit`` or ``archive``; empty: the one of the site's name.
    profile: str = ""
    #: What its pages are headed with.
    title: str = "Fits Server"
    #: Address and port at which its web application answers.
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    #: Database of this site; empty: named ``fits_<site>`` on the common server.
    database_url: str = ""
    #: Directory that the data handling system writes; empty: this site copies nothing in.
    dhs_directory: Path | None = None
    #: Seconds for which size and time of a DHS file must be seen unchanged before it is copied.
    dhs_stable_seconds: float = Field(default=1.0, ge=0)
    #: Seconds after which a DHS file that no longer changes, and is no complete FITS file, is a failure.
    dhs_give_up_seconds: float = Field(default=600.0, ge=0)
    #: Follow links of the DHS directory that end at a regular file inside it; others are always refused.
    dhs_links: bool = False
    #: Hours by which the label of the night runs ahead of the UTC date: 0 in the North, 6 in the South.
    night_hours_ahead: float = Field(default=0.0, gt=-24, lt=24)
    #: A bare date in a selection means the night of this label, not the UTC date.
    dates_are_nights: bool = False
    #: Store of the data: a directory or S3.
    store: Literal["directory", "s3"] = "directory"
    #: Root of the directory store (the dataflow directory at the summit).
    store_directory: Path | None = None
    #: Follow links of the directory store that end at a regular file inside it; others are never followed.
    store_links: bool = False
    #: Where the objects are when the store is S3.
    s3: S3Settings = S3Settings()
    #: Whether other servers, and people, may upload files here.
    receives_uploads: bool = False
    #: Where uploads are received before they are stored, and where S3 objects are fetched to.
    staging_directory: Path | None = None
    #: Previews live under this relative path of the store.
    preview_path: str = "previews"
    #: Whether previews are made, and the best calibrations of each file associated, here.
    using_previews: bool = False
    using_calibration_cache: bool = False
    #: Catalogue of photometric standard stars (columns RA in hours, DEC in degrees); none: not looked for.
    photometric_standards: FilePath | None = None
    #: Base URLs to which every newly ingested file goes.
    export_destinations: tuple[str, ...] = ()
    #: Base URLs of servers that have the same files: a stored file that is bad is fetched from them.
    replicas: tuple[str, ...] = ()
    #: Regular expression of a local path -> path at the destination; ``<DATE>`` stands for a date.
    export_path_map: dict[str, str] = Field(default_factory=dict)
    #: Cookie ``gemini_fits_upload_auth`` sent with exports.
    export_cookie: SecretStr = SecretStr("")
    #: Token sent with exports instead (``Authorization: Bearer``), made by ``fits-dagster token add`` there.
    export_token: SecretStr = SecretStr("")
    #: Accepted values of that cookie; none: only tokens let uploads in.
    upload_cookies: tuple[SecretStr, ...] = ()
    #: Cookie ``gemini_api_authorization`` sent with header edits to destinations; none: files are sent.
    export_api_cookie: SecretStr = SecretStr("")
    #: Token sent with them instead.
    export_edit_token: SecretStr = SecretStr("")
    #: Accepted values of that cookie; none: only tokens let header edits in.
    api_cookies: tuple[SecretStr, ...] = ()
    #: Seconds of silence after which a request to another server has failed.
    request_timeout_seconds: float = Field(default=10.0, gt=0)
    #: The same for a header edit: the far end reads, edits and compresses the file before it answers.
    edit_timeout_seconds: float = Field(default=300.0, gt=0)
    #: Files younger than this are left alone for now by a rescan's ingest; 0 turns that off.
    defer_seconds: float = Field(default=5.0, ge=0)
    #: Periodic looks for files that were changed by hand, and the time zone of their schedules.
    rescans: tuple[RescanSettings, ...] = ()
    time_zone: str = "UTC"
    #: Standing checks look at so many nights, tonight included.
    checked_nights: int = Field(default=4, ge=1)
    #: A file that is due or in hand for longer than this is stuck.
    stuck_minutes: float = Field(default=30.0, gt=0)
    #: Types of calibrations that no science file is said to lack.
    optional_calibrations: tuple[str, ...] = ("photometric_standard", "slitillum")
    #: Uploads are refused with 507 when the staging disk would have less free space than this.
    min_free_bytes: int = Field(default=200_000_000, ge=0)
    #: Service of names (Sesame of the CDS, or one that speaks as it) that ``/nameresolver`` and the search
    #: form ask where an object is; none: the form has no field for that, and no foreign server is asked.
    name_resolver_url: str = ""
    #: Answer 400 to a selection of which something is not understood; else the rest of it counts.
    refuse_not_understood: bool = False
    #: Most files of an answer to a selection that names no date, program or file, and of one that does.
    most_files_open: int = Field(default=500, ge=1)
    most_files_named: int = Field(default=2000, ge=1)
    #: Seconds for which somebody who signs in waits for others of the same name or address.
    sign_in_wait_seconds: float = Field(default=5.0, gt=0)
    #: Host names by which this site is asked; others are refused. None: any. Local names are always right.
    host_names: tuple[str, ...] = ()
    #: Addresses and networks of proxies before this site: they, and nobody else, say who asks.
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    #: The header in which they do: ``x-forwarded-for`` (with ``X-Forwarded-Proto``) or ``forwarded``.
    proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    #: ``/metrics`` is told to who sends this token (``Authorization: Bearer``); none: to this machine.
    metrics_token: SecretStr = SecretStr("")
    #: The body of a request is cut off after so many seconds without a byte,
    silence_seconds: float = Field(default=60.0, gt=0)
    #: and that of an upload when it brings fewer bytes a second than this, beginning after the same time.
    upload_least_rate: int = Field(default=10_000, ge=0)
    #: Largest accepted upload.
    max_upload_bytes: int = Field(default=100_000_000_000, gt=0)

    def most_files(self, *, is_open: bool) -> int:
        """Return how many files an answer has at most; an open selection names no date, program or file."""
        return self.most_files_open if is_open else self.most_files_named

    @property
    def night_clock(self) -> NightClock:
        """Which night it is here."""
        return NightClock(self.night_hours_ahead)

    @property
    def url(self) -> str:
        """Base URL of the site, on its own machine."""
        return f"http://{self.host}:{self.port}"
