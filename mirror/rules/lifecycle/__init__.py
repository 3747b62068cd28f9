"""Lifecycle policies: which images of a repository expire or are archived, and why not. Pure."""

from mirror.rules.lifecycle.evaluate import Action, Evaluation, Failure, Image, evaluate
from mirror.rules.lifecycle.execution import executions
from mirror.rules.lifecycle.grammar import compact, parse_lifecycle
from mirror.rules.lifecycle.policy import LifecyclePolicy, Rule
from mirror.rules.lifecycle.preview import previewed, results, summary
from mirror.rules.lifecycle.schedule import is_due

__all__ = [
    "Action",
    "Evaluation",
    "Failure",
    "Image",
    "LifecyclePolicy",
    "Rule",
    "compact",
    "evaluate",
    "executions",
    "is_due",
    "parse_lifecycle",
    "previewed",
    "results",
    "summary",
]
