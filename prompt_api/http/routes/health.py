"""`/healthz` says whether the process is alive, `/readyz` whether it can serve and what fails."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from prompt_api.http.services import services
from shared.contract.errors import SamCacheError
from shared.redis import allowance

NO_WORKER = "no worker is alive: new images wait, and encoded images are answered"
NO_MASK_WORKER = "no mask worker is alive: everything jobs wait"

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """Answer that the process is alive, without checking its dependencies."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """Check every dependency. A 503 names those that fail.

    A model without a worker is named, but makes no 503: prompts on encoded images need no worker, and a container
    platform would take every replica out of service while the workers restart.
    """
    checks: dict[str, str] = {}
    for name, check in services().checks.items():
        allowance.renew()  # a check that hangs must not use up the time of the next one
        try:
            check()
            checks[name] = "ok"
        except SamCacheError as error:
            checks[name] = error.detail
    failing = [name for name, result in checks.items() if result != "ok"]
    degraded = []
    for model in services().models.values():
        workers = services().workers
        for name, count, without in (
            (f"workers of {model.name}", workers.of(model), NO_WORKER),
            (f"mask workers of {model.name}", workers.masking(model), NO_MASK_WORKER),
        ):
            checks[name] = "not known" if count is None else "ok" if count else without
            if count == 0:
                degraded.append(name)
    status = "unready" if failing else "ready"
    answer = jsonify({"status": status, "failing": failing, "degraded": degraded, "checks": checks})
    answer.status_code = 503 if failing else 200
    answer.headers["Cache-Control"] = "no-store"
    return answer
