"""Log lines on stderr, one per event, as text or JSON. Secrets are hidden, and a message cannot forge another line."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from shared.contract.settings import Settings
from shared.observe import log_context
from shared.observe.redaction import redaction

LONGEST_MESSAGE = 2_000
LONGEST_TRACEBACK = 4_000
"""Limits in characters. Container platforms pass on a line of this length in one piece."""

_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has. All others are fields of the event, from `extra`."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that end a line or move a terminal's cursor."""


def configure(settings: Settings, service: str) -> None:
    """Set up logging for the process and its libraries.

    Args:
        service: `api` or `worker`. Each JSON line names it.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings, service))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    # waitress warns about each request that waits for a thread, even for a millisecond.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # Of RQ, log only warnings and errors: the worker logs its own jobs.
    logging.getLogger("rq").setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    for name in ("rq.worker", "rq.job", "rq.queue", "rq.registry"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def formatter(settings: Settings, service: str) -> logging.Formatter:
    """Return the formatter that the settings ask for."""
    redact = redaction(settings)
    return JsonFormatter(redact, service) if settings.log_format == "json" else TextFormatter(redact)


def last_words(settings: Settings | None, program: str, detail: str) -> None:
    """Report why the process cannot run.

    Args:
        settings: None if the settings are wrong. Otherwise the log must be configured already.
    """
    if settings is not None and settings.log_format == "json":
        logging.getLogger(program).critical("%s", detail)
    else:
        sys.stderr.write(f"{program}: {detail}\n")


class TextFormatter(logging.Formatter):
    """Formats a record as a line for people, with the request id at its end and the indented traceback below."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record)} {record.levelname} {record.process} {record.name}: "
        request_id = log_context.fields().get("request_id")
        line = head + _escaped(_message(record, self._redact)) + (f" [{request_id}]" if request_id else "")
        trace = _traceback(self, record, self._redact)
        return "\n    ".join([line, *map(_escaped, trace.split("\n"))]) if trace else line


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: fields of every line, then those of the request or job, then of the event."""

    def __init__(self, redact: Callable[[str], str], service: str) -> None:
        super().__init__()
        self._redact = redact
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        every = {
            "time": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record, self._redact),
            "service": self._service,
            "pid": record.process,
        }
        own = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
        more = {name: self._safe(value) for name, value in {**log_context.fields(), **own}.items() if name not in every}
        trace = _traceback(self, record, self._redact)
        return json.dumps({**every, **more, **({"traceback": trace} if trace else {})}, default=str)

    def _safe(self, value: object) -> object:
        return self._redact(value)[:LONGEST_MESSAGE] if isinstance(value, str) else value


def _message(record: logging.LogRecord, redact: Callable[[str], str]) -> str:
    text = redact(record.getMessage())
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " …"


def _traceback(form: logging.Formatter, record: logging.LogRecord, redact: Callable[[str], str]) -> str:
    parts = [form.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    if record.stack_info:
        parts.append(record.stack_info)
    text = redact("\n".join(parts))
    return text if len(text) <= LONGEST_TRACEBACK else "… " + text[-LONGEST_TRACEBACK:]


def _escaped(text: str) -> str:
    """Return `text` on one line, with control characters escaped."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
