"""Logs as lines of JSON, for machines: time, level, logger, message, and the error where there is one."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal

Format = Literal["text", "json"]


class JsonLines(logging.Formatter):
    """One object a line. What a log call names in `extra={"facts": {...}}` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def use_format(name: Format) -> None:
    """Let every handler of the root logger write in a format; text is what they write anyway."""
    if name == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines())
