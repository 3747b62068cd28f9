"""The registries that tests speak of."""

from mirror.config.settings import ACCOUNT_DEFAULT
from mirror.oci.names import Registry

HOME = Registry(ACCOUNT_DEFAULT)  # the private registry of a node that nobody gave an account
