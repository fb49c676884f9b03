"""Where a file is, in one sentence, with the words that its stages declare."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from fits_dagster.records.history import Answer, FileEvent, FileHistory, FileItem
from fits_dagster.stages.registry import all_stages
from fits_dagster.wording import counted

__all__ = ["answer_as_dict", "answer_sentence", "file_sentence"]

_NOT_DONE: Final = frozenset({"failed", "retrying"})


def answer_sentence(answer: Answer) -> str:
    """Say in one sentence what was found."""
    if answer.history is not None:
        return file_sentence(answer.history)
    if answer.candidates:
        return f"{len(answer.candidates)}{' and more' if answer.is_cut else ''} names hold “{answer.asked}”."
    return f"{answer.asked} was never seen here."


def answer_as_dict(answer: Answer) -> dict[str, Any]:
    """Write what was found for programs; times are text, ISO 8601."""
    sentence = answer_sentence(answer)
    history = answer.history
    if history is not None:
        values = {"name": history.name, "state": history.state, "sentence": sentence, **asdict(history)}
        plain: dict[str, Any] = _plain(values)
        return {"asked": answer.asked, **plain}
    return {
        "asked": answer.asked,
        "state": "several" if answer.candidates else "unknown",
        "sentence": sentence,
        "candidates": list(answer.candidates),
        "is_cut": answer.is_cut,
    }


def file_sentence(history: FileHistory) -> str:
    """Say where a file is, in one sentence."""
    name = history.name
    if history.items:
        more = len(history.items) - 1
        tail = f", and it is in {counted(more, 'more queue')}" if more else ""
        return f"{name} {_item_words(history.items[0])}{tail}."
    if not history.is_known:
        return f"{name} was never seen here."
    present = next((v for v in history.versions if v.present), None)
    arrived = _arrival(history)
    if present is not None:
        if arrived is not None:
            return f"{name} is done: {arrived.outcome.replace('_', ' ')} at {_minute(arrived.at)}."
        return f"{name} is done: in the database since {_minute(present.entrytime)}."
    if history.versions:
        last_entry = _minute(history.versions[0].entrytime)
        return f"{name} is not here any more; its last version is of {last_entry}."
    if history.events:
        last = history.events[0]
        what = f"{last.stage} {last.outcome} at {_minute(last.at)}"
        return f"{name} is in no queue and has no version here; the last that happened: {what}."
    if history.dhs is not None:
        return f"{name} was copied from the DHS at {_minute(history.dhs.landed_at)} and is in no queue."
    return f"{name} is in no queue and has no version here."


def _arrival(history: FileHistory) -> FileEvent | None:
    """Return the event that says that the file has arrived; that it was merely looked at counts least."""
    arriving = {name for name, stage in all_stages().items() if stage.is_arrival}
    good = [event for event in history.events if event.outcome not in _NOT_DONE]
    real = [event for event in good if event.stage in arriving and event.outcome != "unchanged"]
    return next(iter(real or good), None)


def _item_words(item: FileItem) -> str:
    """Say what an item does; it goes on after the name of the file."""
    stage = all_stages().get(item.stage)
    work = stage.words if stage is not None else item.stage
    reason = f" ({item.reason})" if item.reason else ""
    tries = f", {counted(item.attempts, 'attempt')}" if item.attempts > 0 else ""
    if item.state == "failed":
        return f"failed in {work} at {_minute(item.failed_at or item.added_at)}{reason}{tries}"
    if item.state == "running":
        return f"is at work in {work}, in the queue since {_minute(item.added_at)}"
    later = f", again at {item.not_before:%H:%M:%S}" if item.not_before > datetime.now(UTC) else ""
    return f"has waited for {work} since {_minute(item.added_at)}{reason}{tries}{later}"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
