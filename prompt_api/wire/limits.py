"""Limits and names of the HTTP contract. The routes enforce them and the OpenAPI document states them."""

from __future__ import annotations

MAX_WAIT = 30.0
"""Seconds: the largest `?wait=`."""

EVENT_STREAM_SECONDS = 300.0
"""Seconds after which an event stream ends. `EventSource` connects again by itself."""

UPLOAD_FIELD = "image"
"""Name of the multipart field that holds an upload."""

MAX_PROMPT_BODY = 16 * 1024 * 1024
"""Most bytes of a prompt request. 64 prompts with `mask_logits` in base64 fit in, with room to spare."""

MAX_REGIONS_BODY = 64 * 1024
"""Most bytes of a request for regions."""
