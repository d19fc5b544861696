"""AWS Lambda: the routes of `bertx serve` on NumPy, behind API Gateway (REST or HTTP) or a function URL.

BERTX_SOURCE is the model, as in `bertx serve`; BERTX_API_KEY, if it is set, must come with each request.
"""

from __future__ import annotations

import os

from mangum import Mangum

from bertx.serving.app import create_app
from bertx.serving.logs import start_logs
from bertx.serving.served import check_models, load_models
from bertx.serving.service import Service
from bertx.serving.settings import Settings, api_keys, model_settings


def _settings() -> Settings:
    sources = os.environ.get("BERTX_SOURCE", "").split()
    if not sources:
        raise ValueError("BERTX_SOURCE names no model: set it to a folder of the image, such as /model")
    # One request at a time comes to a process of Lambda: none would come to share a batch.
    return Settings(
        tuple(map(model_settings, sources)), backend="numpy", max_wait=0.0, api_keys=api_keys(None, os.environ)
    )


def _make() -> Mangum:
    start_logs()
    settings = _settings()
    check_models(settings)
    return Mangum(create_app(Service(settings, load_models(settings))), lifespan="off")


handler = _make()
