"""Every operation of the two service models has a handler, and the models have every handler."""

from control_calls import ControlCalls
from ecr_calls import MODELS

from mirror.web.ecr.contents import private_handlers
from mirror.web.ecr.control import control_handlers
from mirror.web.ecr_public.table import public_handlers


async def test_every_operation_of_the_models_is_there(ecr: ControlCalls) -> None:
    """ECR.md 1.1: 62 operations of ECR, 23 of ECR Public."""
    wanted = {(service, name) for service in ("ecr", "ecr-public") for name in MODELS.names(service)}
    assert len(wanted) == 62 + 23
    assert set(ecr.handlers) == wanted


async def test_no_operation_is_answered_by_two(ecr: ControlCalls) -> None:
    """The one that is listed last would win silently."""
    parts = (
        private_handlers(ecr.registries),
        control_handlers(ecr.registries, ecr.control),
        public_handlers(ecr.registries, ecr.public, ecr.gallery),
    )
    assert sum(map(len, parts)) + 2 == len(ecr.handlers)
