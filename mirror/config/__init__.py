"""Settings: what the operator's file says, read once and checked whole. Never: the environment, a secret's text."""

from mirror.config.faults import ConfigInvalid, Fault
from mirror.config.read import load
from mirror.config.settings import (
    Access,
    Home,
    Host,
    Iam,
    Listen,
    Log,
    Region,
    Server,
    Settings,
    Storage,
    Tls,
    Traces,
    Webhook,
    parse_listen,
)

__all__ = [
    "Access",
    "ConfigInvalid",
    "Fault",
    "Home",
    "Host",
    "Iam",
    "Listen",
    "Log",
    "Region",
    "Server",
    "Settings",
    "Storage",
    "Tls",
    "Traces",
    "Webhook",
    "load",
    "parse_listen",
]
