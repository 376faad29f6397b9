"""The stages of a request, and the header that says how long each took."""

from __future__ import annotations

from shared.observe.stages import Stages

STAGES = {
    "receive": "the request comes in, from its first byte to its last: the client's network",
    "thread": "it waits for a thread",
    "admit": "access and rate limits are checked: with tokens or rate limits, this asks Redis",
    "parse": "the body is read and checked; that of an upload is also hashed",
    "download": "the image of an upload by URL is fetched",
    "store": "an upload is kept and queued",
    "wait": "the embedding is not there: the request waits for it, as long as the client allowed",
    "fetch": "the embedding comes from Redis",
    "prepare": "the embedding is handed to the decoder",
    "turn": "the request waits for its turn while others decode",
    "decode": "the mask decoder; a prompt may wait here for the image side of its image",
    "encode": "masks at the original's size, in the format asked for, written as JSON",
    "keep": "logits that no mask token can carry are stored",
    "serialise": "the answer is handed to the server",
    "other": "everything else",
}
"""All stages, in the order in which a request goes through them."""

_ALWAYS = ("fetch", "prepare", "decode", "encode")


def server_timing(stages: Stages) -> str:
    """Return the value of `Server-Timing`, in milliseconds: always four stages, and the others that were entered."""
    seconds = stages.seconds
    shown = {name: seconds.get(name, 0.0) for name in STAGES if name in _ALWAYS or name in seconds}
    return ", ".join(f"{name};dur={spent * 1000:.2f}" for name, spent in shown.items())
