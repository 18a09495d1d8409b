"""Imports and reads everything that a local AWS needs for its first requests, but starts nothing.

Only the fork server imports this. The garbage collector of a child would copy the pages of everything imported here, so
the collector ignores all of it.
"""

from __future__ import annotations

import gc
import pkgutil
from contextlib import suppress
from importlib import import_module

from moto.core.base_backend import AccountSpecificBackend
from moto.core.utils import get_service_model

from stepbridge_local import services
from stepbridge_local.services.sagemaker.validation import request_shape
from stepbridge_local.testing.processes import client_of

SERVICES = (
    *("cloudformation", "codebuild", "ecr", "events", "iam", "logs"),
    *("s3", "sagemaker", "sqs", "stepfunctions", "sts"),
)

import_module("jsonata")
import_module("stepbridge_local.cli.main")
import_module("stepbridge_local.server")
with suppress(ImportError):
    import_module("pytest")  # functions that run in a child are in test modules
for _module in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
    import_module(_module.name)
for _service in SERVICES:
    import_module(f"moto.{_service}.urls")
    get_service_model(_service)
    client_of("http://127.0.0.1", _service)
request_shape("CreateProcessingJob")
AccountSpecificBackend.get_session().get_available_partitions()
gc.collect()
gc.freeze()
