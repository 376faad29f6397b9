"""`/healthz` and `/readyz`: alive, and ready to serve, naming what is not."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from prompt_api.http.services import services
from shared.contract.errors import SamCacheError
from shared.redis import allowance

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """The process answers; says nothing of what it depends on."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """Asks every dependency. 503 names those that fail."""
    checks: dict[str, str] = {}
    for name, check in services().checks.items():
        allowance.renew()  # one that hangs must not make the next look as if it did
        try:
            check()
            checks[name] = "ok"
        except SamCacheError as error:
            checks[name] = error.detail
    failing = [name for name, result in checks.items() if result != "ok"]
    answer = jsonify({"status": "unready" if failing else "ready", "failing": failing, "checks": checks})
    answer.status_code = 503 if failing else 200
    answer.headers["Cache-Control"] = "no-store"
    return answer
