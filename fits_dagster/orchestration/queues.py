"""The Celery queues: one per site and stage, so that a host can serve some stages only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from fits_dagster.broker import broker_url, result_backend_url
from fits_dagster.settings import Settings, SiteName
from fits_dagster.stages.registry import stages_of

__all__ = ["OPERATIONS", "QUEUE_TAG", "celery_arguments", "queue_name", "services_of", "worker_queues"]

#: The tag of a run that names its queue, as dagster-celery has it; importing it would import Celery, which
#: code servers do not need.
QUEUE_TAG: Final = "dagster-celery/queue"
#: What is no single stage's: rescans, upkeep, checks, and what a person asks for.
OPERATIONS: Final = "operations"

_CONNECT_S: Final = 3.0


def services_of(settings: Settings, site: SiteName) -> Sequence[str]:
    """Return what a worker of a site can serve: its stages, and its operations."""
    return [*(stage.name for stage in stages_of(settings.site(site))), OPERATIONS]


def queue_name(settings: Settings, site: str, stage: str) -> str:
    """Return the name of the queue of a site's stage; it begins with the name of the system."""
    return f"{settings.instance_name}.{site}.{stage}"


def worker_queues(settings: Settings, sites: Sequence[SiteName], stages: Collection[str] = ()) -> list[str]:
    """Return the queues that a worker serves.

    Parameters
    ----------
    stages
        Only these; none: all of the sites.

    Raises
    ------
    ValueError
        No site has one of the stages.
    """
    known = {stage for site in sites for stage in services_of(settings, site)}
    if unknown := set(stages) - known:
        raise ValueError(
            f"{', '.join(sites)}: no stage {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    return [
        queue_name(settings, site, stage)
        for site in sites
        for stage in services_of(settings, site)
        if not stages or stage in stages
    ]


def celery_arguments(settings: Settings) -> dict[str, Any]:
    """Return what Dagster's launcher and the workers need to know of Celery."""
    return {
        "broker": broker_url(settings),
        "backend": result_backend_url(settings),
        "default_queue": queue_name(settings, settings.sites[0], OPERATIONS),
        "config_source": {
            # a run is taken when there is a process for it, not before
            "worker_prefetch_multiplier": 1,
            "worker_max_tasks_per_child": settings.work.worker_recycle_runs,
            "worker_max_memory_per_child": settings.work.worker_recycle_mb * 1000,
            "worker_hijack_root_logger": False,
            "worker_redirect_stdouts": False,
            "worker_cancel_long_running_tasks_on_connection_loss": False,
            "worker_send_task_events": False,
            "worker_enable_remote_control": False,
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,
            "broker_connection_timeout": _CONNECT_S,
            "broker_transport_options": {
                "socket_connect_timeout": _CONNECT_S,
                "socket_keepalive": True,
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0.2,
                "interval_max": 0.5,
            },
            # what cannot be sent now is sent by the sweep; the daemon must not wait
            "task_publish_retry": False,
            "result_expires": 3600,
            "result_backend_transport_options": {"retry_policy": {"timeout": 5.0}},
            "redis_socket_connect_timeout": _CONNECT_S,
            "redis_retry_on_timeout": True,
            "redis_socket_keepalive": True,
        },
    }
