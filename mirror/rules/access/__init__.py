"""Who may do what: policies as IAM writes them, and one evaluator for all of them.

Source: IAM guide, "Policy evaluation logic" and "IAM JSON policy elements reference"; ECR guide, "Private repository
policies" and "Private registry permissions". Unknown things are refused when a policy is put, never skipped when it
is read. Pure.
"""

from mirror.rules.access.evaluate import Decision, Question, decide, refusal
from mirror.rules.access.faults import PolicyInvalid
from mirror.rules.access.grammar import parse_policy
from mirror.rules.access.managed import MANAGED_POLICIES
from mirror.rules.access.statements import Policy, PolicyKind

__all__ = [
    "MANAGED_POLICIES",
    "Decision",
    "Policy",
    "PolicyInvalid",
    "PolicyKind",
    "Question",
    "decide",
    "parse_policy",
    "refusal",
]
