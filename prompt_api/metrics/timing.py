"""The stages of a request, and the header that tells how long each took."""

from __future__ import annotations

from shared.observe.stages import Stages

STAGES = {
    "receive": "the request comes in, from its first byte to its last: the client's network",
    "thread": "it waits for a thread",
    "admit": "who asks, whether he may, how often: with tokens or rate limits a question to Redis",
    "parse": "the body is read and checked; of an upload, hashed",
    "store": "an upload is kept and queued",
    "wait": "the embedding is not there: the client waits for it, as long as it said, or hears so",
    "fetch": "the embedding comes from Redis",
    "prepare": "it is handed to the decoder",
    "turn": "others decode: it waits for its turn",
    "decode": "the mask decoder; a prompt may wait here for the image side of its image",
    "encode": "masks at the original's size, in the format asked for",
    "keep": "logits that no mask token can carry are stored",
    "serialise": "the answer is written as JSON",
    "other": "all that is none of these",
}
"""Every stage there is, in the order a request meets them."""

_ALWAYS = ("fetch", "prepare", "decode", "encode")


def server_timing(stages: Stages) -> str:
    """The value of `Server-Timing`, in milliseconds: four stages always, others where they were entered."""
    seconds = stages.seconds
    shown = {name: seconds.get(name, 0.0) for name in STAGES if name in _ALWAYS or name in seconds}
    return ", ".join(f"{name};dur={spent * 1000:.2f}" for name, spent in shown.items())
