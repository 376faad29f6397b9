"""Settings: read once from the environment (prefix `SAM_`) into one frozen dataclass."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from shared.contract.errors import ConfigurationError

PREFIX = "SAM_"


def _setting(
    default: Any, doc: str, *, choices: tuple[str, ...] = (), least: float = -math.inf, most: float = math.inf
) -> Any:
    return field(default=default, metadata={"doc": doc, "choices": choices, "least": least, "most": most})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of both services. `SAM_` + the upper-case field name is its environment variable."""

    cache_url: str = _setting(
        "redis://127.0.0.1:6379/0",
        "Redis for images and embeddings. It may evict, be a Cluster, or be behind Sentinel: see docs/redis.md",
    )
    queue_url: str = _setting(
        "", "Redis for jobs and events. It must not evict, and may be behind Sentinel. Empty: the same as the cache"
    )
    redis_timeout: float = _setting(
        0.75, "seconds that one Redis operation may take; all operations of a request may take twice that", least=0.01
    )

    model: str = _setting("mobile_sam", "model that the worker runs and that the API uses by default")
    models: str = _setting("", "models that the API serves, comma-separated; empty: only `SAM_MODEL`")
    catalogue: str = _setting(
        "", "TOML file that adds models by name, read by API and workers; see docs/models.md. Empty: none"
    )
    weights_dir: str = _setting("~/.cache/sam-embedding-cache", "folder for fetched weights and built decoders")
    weights_path: str = _setting(
        "", "weights of `SAM_MODEL` that are on this machine: their folder, or a checkpoint. Nothing is fetched then"
    )

    bundled_dir: str = _setting(
        "",
        "folder of weights and built decoders that came with a container image. It is looked at before "
        "`SAM_WEIGHTS_DIR`, and never written. Empty: none",
    )

    embedding_dtype: str = _setting(
        "auto",
        "how embeddings are stored (`auto`: as small as suits each tensor of the model, see docs/models.md; `int16` is "
        "as large as `float16` and eight times as precise)",
        choices=("auto", "float16", "int16", "float32", "int8"),
    )
    embedding_ttl: int = _setting(604_800, "seconds an embedding is kept", least=1)
    image_ttl: int = _setting(
        86_400, "seconds the uploaded bytes are kept, so that the image can be encoded again", least=1
    )
    mask_token_ttl: int = _setting(3_600, "seconds the stored logits of a `mask_token` are kept", least=1)

    max_upload_bytes: int = _setting(33_554_432, "largest upload, in bytes", least=1)
    max_image_pixels: int = _setting(50_000_000, "largest image, in pixels (width times height)", least=1)

    max_regions: int = _setting(
        256, "regions of one image that are kept; beyond, the one asked for longest ago makes way", least=1, most=4_096
    )

    host: str = _setting("127.0.0.1", "address the API listens on")
    port: int = _setting(8000, "port the API listens on; 0 picks a free one", least=0, most=65_535)
    tokens: str = _setting(
        "", "who may use the API: entries `namespace:scopes:hash`, comma-separated; see docs/access.md"
    )
    allow_anonymous: str = _setting(
        "false",
        "whether the API may listen on an address other than loopback without any token",
        choices=("false", "true"),
    )
    cors_origins: str = _setting("", "origins whose pages may call the API from a browser, comma-separated")
    allowed_hosts: str = _setting(
        "",
        "names under which the API answers, besides IP addresses and `localhost`, comma-separated; empty: any, but on "
        "loopback no other",
    )
    trusted_proxies: int = _setting(
        0, "number of proxies in front of the API; the client's address is taken from their `X-Forwarded-For`", least=0
    )
    rate_limit_prompts: str = _setting("", "prompts per client, for example `50/second`; empty: no limit")
    rate_limit_uploads: str = _setting("", "uploads per client, for example `60/minute`; empty: no limit")
    label_studio_url: str = _setting(
        "", "the Label Studio from which task images may be fetched; see docs/label-studio.md"
    )
    label_studio_model: str = _setting("", "model that Label Studio gets, one of the served; empty: `SAM_MODEL`")
    label_studio_regions_above: int = _setting(
        2048,
        "task images whose longer side has more pixels than this are answered from the region that suits the click; 0: "
        "none",
        least=0,
    )
    label_studio_everything: str = _setting(
        "false",
        "whether a task that is opened in Label Studio gets every mask of its images as pre-annotations",
        choices=("false", "true"),
    )
    label_studio_aliases: str = _setting("", "further addresses that tasks have for that Label Studio, comma-separated")
    label_studio_token: str = _setting("", "access token of a user of that Label Studio, personal or legacy")
    label_studio_namespace: str = _setting(
        "", "the only namespace that may use these images; required if `SAM_TOKENS` has several namespaces"
    )
    tool_fill_holes: int = _setting(
        0,
        "largest area in pixels of holes that are filled in masks for Label Studio, X-AnyLabeling and QuPath",
        least=0,
    )
    tool_remove_specks: int = _setting(
        0, "largest area in pixels of parts that are removed from these masks, except their largest part", least=0
    )
    tool_keep: str = _setting(
        "all", "which parts of these masks stay; see docs/http-api.md", choices=("all", "largest", "clicked")
    )
    tool_tolerance: float = _setting(
        0.0,
        "pixels by which polygons for Label Studio and QuPath may leave the mask's edge; 0: as these tools suit it",
        least=0,
        most=1000,
    )
    image_hosts: str = _setting(
        "",
        "from where images are fetched by URL, comma-separated: hosts (`images.example.org`), buckets (`s3://photos`). "
        "Empty: nowhere; see docs/http-api.md",
    )
    image_hosts_namespace: str = _setting(
        "",
        "the only namespace that may have images fetched by URL; required if there are buckets and `SAM_TOKENS` has "
        "several namespaces",
    )
    api_processes: int = _setting(1, "API processes on that port", least=1)
    api_threads: int = _setting(16, "request threads per API process", least=2)
    decoder_threads: int = _setting(1, "threads that one mask decoding uses", least=1)
    embedding_lru_bytes: int = _setting(536_870_912, "bytes of embeddings kept in memory per API process", least=0)
    logits_lru_bytes: int = _setting(
        67_108_864,
        "bytes of low-res logits kept in memory per API process, and in the cache per namespace",
        least=0,
    )
    feature_lru_bytes: int = _setting(
        67_108_864,
        "bytes of features kept in memory per API process, in which similar objects are searched; an image has up to 2 "
        "MiB",
        least=0,
    )

    device: str = _setting(
        "auto", "where the encoder runs (`auto`: a GPU if there is one)", choices=("auto", "cuda", "cpu")
    )
    encode_batch: int = _setting(
        0, "most images encoded at once; 0: on a GPU what suits it, 1 on a CPU", least=0, most=64
    )
    cpu_precision: str = _setting(
        "float32",
        "precision of ONNX encoders on a CPU; `bfloat16` needs OpenVINO and a processor with instructions for it, see "
        "docs/models.md",
        choices=("float32", "bfloat16"),
    )
    torch_dtype: str = _setting(
        "auto",
        "precision of the models on torch (`auto`: bfloat16 on a GPU); `float8` is for the ViT models, on GPUs that "
        "have it",
        choices=("auto", "float32", "bfloat16", "float8"),
    )
    torch_compile: str = _setting(
        "auto",
        "how the models on torch are compiled (`auto`: `default` on a GPU, `off` on a CPU); it takes minutes at the "
        "first start, see docs/models.md",
        choices=("auto", "off", "default", "max-autotune"),
    )
    torch_resize: str = _setting(
        "auto",
        "whether a GPU resizes pictures of up to 16 megapixels (`auto`), or the processors resize all of them (`off`)",
        choices=("auto", "off"),
    )
    encoder_threads: int = _setting(
        0, "threads that one encoding uses; 0: one per core, or fewer if there is a CPU limit", least=0
    )
    job_timeout: int = _setting(
        120, "seconds after which an attempt to encode is stopped and counted as failed", least=1
    )
    job_retries: int = _setting(2, "how often an encoding is tried again after its worker died", least=0)
    failure_ttl: int = _setting(300, "seconds a failed encoding is remembered", least=1)
    worker_decoders: int = _setting(
        0,
        "processes that decode and resize images for a worker that encodes several at once; 0: one per core, at most "
        "16. A worker that encodes one image at a time decodes it itself",
        least=0,
        most=256,
    )
    worker_picture_bytes: int = _setting(
        314_572_800,
        "bytes of decoded pictures that a worker keeps in memory while regions of them come: 3 for each pixel, so by "
        "default two of the largest; 0: none",
        least=0,
    )
    worker_picture_ttl: int = _setting(300, "seconds after which a kept picture that nobody used is dropped", least=1)
    worker_metrics_host: str = _setting("127.0.0.1", "address on which a worker serves its `/metrics`")
    worker_metrics_port: int = _setting(
        0,
        "port of the worker's `/metrics`; if it is taken, the first free one of the next 15; 0: no `/metrics`",
        least=0,
        most=65_535,
    )
    max_queued: int = _setting(1_000, "most encodings that may wait per model; further uploads are refused", least=1)

    everything_ttl: int = _setting(86_400, "seconds the masks of an everything job are kept", least=1)
    everything_timeout: int = _setting(
        1_800, "seconds after which an attempt at an everything job is stopped and counted as failed", least=1
    )
    everything_wait: int = _setting(
        600, "seconds a mask worker waits for the embedding of an image, or of one crop of it", least=1
    )
    everything_threads: int = _setting(
        0, "threads of a mask worker; 0: one per core, or fewer if there is a CPU limit", least=0
    )
    everything_nice: int = _setting(
        19, "how far a mask worker stands back from other processes of its host (`nice`)", least=0, most=19
    )
    max_everything: int = _setting(
        200, "most everything jobs that may wait per model; further ones are refused", least=1
    )

    log_level: str = _setting("INFO", "lowest level that is logged", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = _setting("text", "how log lines are written", choices=("text", "json"))
    otlp_endpoint: str = _setting(
        "", "OpenTelemetry collector for traces, for example `http://collector:4318`; empty: no traces"
    )
    trace_ratio: float = _setting(
        1.0, "share of requests that are traced, unless the request's `traceparent` decides", least=0, most=1
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from `environ` (by default the environment of the process).

        A variable that is unset or empty keeps the default.

        Raises:
            ConfigurationError: a value is malformed or out of range, or a `SAM_…` variable is not a setting.
        """
        environ = os.environ if environ is None else environ
        known = {PREFIX + spec.name.upper(): spec for spec in fields(cls)}
        unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise ConfigurationError(f"{', '.join(unknown)}: no such setting; docs/settings.md lists them all")
        types = get_type_hints(cls)
        values: dict[str, Any] = {}
        for variable, spec in known.items():
            text = environ.get(variable, "")
            if text == "":
                continue
            try:
                value = types[spec.name](text)
            except ValueError:
                raise ConfigurationError(f"{variable}={text!r} is not a {types[spec.name].__name__}") from None
            choices, least, most = (spec.metadata[name] for name in ("choices", "least", "most"))
            if choices and value not in choices:
                raise ConfigurationError(f"{variable}={text!r} must be one of {', '.join(choices)}")
            if isinstance(value, int | float) and not (least <= value <= most and value < math.inf):
                bounds = f"at least {least}" if most == math.inf else f"between {least} and {most}"
                raise ConfigurationError(f"{variable}={text!r} must be {bounds}")
            values[spec.name] = value
        return cls(**values)

    @property
    def effective_queue_url(self) -> str:
        return self.queue_url or self.cache_url

    @property
    def served_models(self) -> tuple[str, ...]:
        """Names of the models the API serves, the default first."""
        extra = [name.strip() for name in self.models.split(",") if name.strip()]
        return tuple(dict.fromkeys([self.model, *extra]))

    @property
    def weights_folder(self) -> Path:
        return Path(self.weights_dir).expanduser()

    @property
    def bundled_folder(self) -> Path | None:
        return Path(self.bundled_dir).expanduser() if self.bundled_dir else None


def settings_table() -> str:
    """Return all settings as a Markdown table. docs/settings.md shows it between its `settings` markers."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for spec in fields(Settings):
        default = "" if spec.default == "" else f"`{spec.default}`"
        choices = ", ".join(f"`{choice}`" for choice in spec.metadata["choices"])
        meaning = spec.metadata["doc"] + (f": {choices}" if choices else "")
        rows.append(f"| `{PREFIX}{spec.name.upper()}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(settings_table())
