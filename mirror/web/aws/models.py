"""The service models that AWS publishes: which operations there are, what each takes, answers and refuses.

Source: botocore's data files for ecr, ecr-public, iam and sts. Only its own files are read, never those that a user
or the environment may add; no session or client is ever made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from botocore.loaders import Loader  # type: ignore[import-untyped]
from botocore.model import ServiceModel  # type: ignore[import-untyped]

from mirror.web.aws.call import Service
from mirror.web.aws.faults import Style
from mirror.web.aws.validation import Input

SERVICES: Final[tuple[Service, ...]] = get_args(Service)
_VALIDATION: Final = "ValidationException"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `model` is botocore's, whose shapes lead the Query protocol."""

    service: Service
    name: str
    version: str
    input: Input
    model: Any


class Models:
    """All operations of the four services, each compiled when it is first called."""

    def __init__(self, services: Mapping[Service, Any]) -> None:
        """Take botocore's service models; `load` makes them."""
        self._services = services
        self._names = {service: frozenset(model.operation_names) for service, model in services.items()}
        self._targets = {
            str(model.metadata["targetPrefix"]): service
            for service, model in services.items()
            if "targetPrefix" in model.metadata
        }
        self._compiled: dict[tuple[Service, str], Operation] = {}

    @classmethod
    def load(cls) -> "Models":
        """Read the models from disk: some 200 ms, and blocking, so in a thread. Raises OSError."""
        loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
        return cls({service: _loaded(loader, service) for service in SERVICES})

    def names(self, service: Service) -> frozenset[str]:
        """Return the operations of a service."""
        return self._names[service]

    def namespace(self, service: Service) -> str:
        """Return the XML namespace of a service that speaks the Query protocol."""
        return str(self._services[service].metadata["xmlNamespace"])

    def version(self, service: Service) -> str:
        return str(self._services[service].metadata["apiVersion"])

    def find(self, service: Service, name: str) -> Operation | None:
        """Find an operation by its name; None where the service has none of it."""
        if name not in self._names[service]:
            return None
        operation = self._compiled.get((service, name))
        if operation is None:
            operation = self._compiled[service, name] = self._compile(service, name)
        return operation

    def find_target(self, target: str) -> Operation | None:
        """Find an operation by its X-Amz-Target: `AmazonEC2ContainerRegistry_V20150921.PutImage`."""
        prefix, _, name = target.rpartition(".")
        service = self._targets.get(prefix)
        return self.find(service, name) if service else None

    def _compile(self, service: Service, name: str) -> Operation:
        model = self._services[service].operation_model(name)
        return Operation(service, name, self.version(service), Input(model.input_shape, _style(service, model)), model)


def _loaded(loader: Any, service: Service) -> Any:
    """Load a model. That of ECR Public is mended where it is narrower than its guide.

    Every `registryId` may be an alias, not only those of half the operations; and what is wrong with a resource tag is
    said by InvalidTagParameter, as in ECR, whose model leaves the lengths out for it.
    """
    data = loader.load_service_model(service, "service-2")
    if service == "ecr-public":
        shapes = {**data["shapes"], "RegistryId": data["shapes"]["RegistryIdOrAlias"]}
        shapes |= {name: {"type": "string"} for name in ("TagKey", "TagValue")}
        data = {**data, "shapes": shapes}
    return ServiceModel(data, service)


def _style(service: Service, model: Any) -> Style:
    """Tell how an operation says that an argument is wrong: the newer ones of ECR model ValidationException."""
    if service in ("iam", "sts"):
        return "query"
    return "validation" if any(shape.name == _VALIDATION for shape in model.error_shapes) else "parameter"
