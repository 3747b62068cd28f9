"""The evaluator: may this principal do this to that, and if not, why.

Source: IAM guide, "Policy evaluation logic"; ECR.md 2.1, "Evaluation". A matching Deny anywhere wins. In its own
account a principal needs an Allow of its identity or of a resource policy that names it; in another account it needs
both. A resource policy that names an account leaves the rest to that account's identity policies. Pure: the time, like
everything else about a request, is in its context.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.aws.principals import Principal
from mirror.rules.access.actions import IDENTITY_ONLY, PUBLIC_PULLS, READ_ONLY, ROOT_ALWAYS, WITHOUT_RESOURCE
from mirror.rules.access.statements import BY_ACCOUNT, IN_PERSON, NOT_NAMED, Policy, Statement
from mirror.rules.access.variables import Facts

_DENIED: Final = -1  # beside NOT_NAMED, BY_ACCOUNT and IN_PERSON of an Allow
_TYPES: Final = {"anonymous": "Anonymous", "root": "Account", "user": "User", "role": "AssumedRole"}


@dataclass(frozen=True, slots=True)
class Question:
    """May `principal` do `action` to `resource` of account `owner`?

    `context` has the values of condition keys, lower-case (a repository's tags as `aws:resourcetag/<key>`, also
    lower-case); an absent key is missing. What follows from the principal is added here and needs not be in it.
    """

    principal: Principal
    action: str
    resource: str
    owner: str
    context: Mapping[str, Sequence[str]]

    @property
    def target(self) -> str:
        """The resource as policies see it: operations without resource-level control are about `*`."""
        return "*" if self.action in WITHOUT_RESOURCE else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `reason` is ECR's clause of a refusal, "" of an Allow.

    `volatile`: a statement about this principal, action and resource looked at what only this request says, so the
    decision is not to be remembered.
    """

    allowed: bool
    reason: str
    volatile: bool

    @property
    def explicit(self) -> bool:
        """Tell whether a Deny decided; else no Allow was found."""
        return self.reason.startswith("with an explicit deny")


_ALLOWED: Final = Decision(allowed=True, reason="", volatile=False)
_ALLOWED_ONCE: Final = Decision(allowed=True, reason="", volatile=True)


class _Hearing:
    """One question being put to policies."""

    __slots__ = ("_arns", "_facts", "_question", "_target", "volatile")

    def __init__(self, question: Question) -> None:
        self._question = question
        self._target = question.target
        self._arns: tuple[str, ...] | None = None
        self._facts: Facts | None = None
        self.volatile = False

    def vote(self, policies: Iterable[Policy]) -> int:
        """Return how the strongest Allow names the principal, or `_DENIED` if there is a Deny."""
        strongest = NOT_NAMED
        action = self._question.action
        for policy in policies:
            for statement in policy.by_action.get(action, ()):
                named = self._named(statement)
                if named and self._applies(statement):
                    if not statement.allow:
                        return _DENIED
                    strongest = max(strongest, named)
        return strongest

    def _named(self, statement: Statement) -> int:
        if statement.principals is None:
            return IN_PERSON
        principal = self._question.principal
        if self._arns is None:
            self._arns = principal.policy_arns
        return statement.principals.names(principal, self._arns, allow=statement.allow)

    def _applies(self, statement: Statement) -> bool:
        resources = statement.resources
        if not resources.everything:
            # A resource that is worked out from the request could be this one for the next request.
            self.volatile = self.volatile or resources.volatile
            if not resources.match(self._target, self._known() if resources.templates else {}):
                return False
        if not statement.conditions:
            return True
        self.volatile = self.volatile or statement.volatile
        facts = self._known()
        return all(condition.holds(facts) for condition in statement.conditions)

    def _known(self) -> Facts:
        if self._facts is None:
            self._facts = {**self._question.context, **facts_of(self._question.principal)}
        return self._facts


def decide(question: Question, *, identity: Sequence[Policy], resource: Sequence[Policy]) -> Decision:
    """Answer a question. `identity`: the principal's own policies; `resource`: those of what it asks for.

    `resource` has the repository's policy, its registry's, or, for sts:AssumeRole, the role's trust policy.
    """
    principal, action = question.principal, question.action
    if action in PUBLIC_PULLS:
        return _ALLOWED
    known = principal.kind != "anonymous"
    ours = known and principal.account == question.owner
    root = principal.kind == "root"
    hearing = _Hearing(question)
    own = hearing.vote(identity) if known else NOT_NAMED
    if own == _DENIED:
        return Decision(False, "with an explicit deny in an identity-based policy", hearing.volatile)
    if root:
        own = IN_PERSON
    trusted = any(policy.kind == "trust" for policy in resource)
    if action in IDENTITY_ONLY and not trusted:
        allowed, theirs = own != NOT_NAMED, NOT_NAMED
    else:
        theirs = hearing.vote(resource)
        if theirs == _DENIED and root and ours and action in ROOT_ALWAYS:
            theirs = NOT_NAMED
        if theirs == _DENIED:
            return Decision(False, "with an explicit deny in a resource-based policy", hearing.volatile)
        allowed = _allowed(own, theirs, known=known, ours=ours, trusted=trusted)
        if not known and action not in READ_ONLY:
            # Everybody, as policies say it, is everybody who has logged in; for reading it may be anybody.
            allowed = False
    if allowed:
        return _ALLOWED_ONCE if hearing.volatile else _ALLOWED
    return Decision(False, _lacking(action, own, known=known), hearing.volatile)


def _allowed(own: int, theirs: int, *, known: bool, ours: bool, trusted: bool) -> bool:
    """Put the two sides together; neither has a Deny. A role is assumed by whom its trust policy names only."""
    if not known:
        return theirs == IN_PERSON
    if ours and (theirs == IN_PERSON or (own and not trusted)):
        return True
    return own != NOT_NAMED and theirs >= BY_ACCOUNT


def _lacking(action: str, own: int, *, known: bool) -> str:
    side = "identity" if known and own == NOT_NAMED else "resource"
    if action in IDENTITY_ONLY and not known:
        side = "identity"
    return f"because no {side}-based policy allows the {action} action"


def facts_of(principal: Principal) -> dict[str, Sequence[str]]:
    """Say what follows from who asks: these condition keys are never the request's to set."""
    known = principal.kind != "anonymous"
    user_id = f"{principal.id}:{principal.session}" if principal.kind == "role" else principal.id
    return {
        "aws:principaltype": (_TYPES[principal.kind],),
        "aws:principalarn": (principal.principal_arn,) if known else (),
        "aws:principalaccount": (principal.account,) if known else (),
        "aws:userid": (user_id,) if known else ("anonymous",),
        "aws:username": (principal.name,) if principal.kind == "user" else (),
    }


def refusal(question: Question, decision: Decision) -> str:
    """Write the message of an AccessDeniedException, and of DENIED to a docker client."""
    return (
        f"User: {question.principal.arn} is not authorized to perform: {question.action} "
        f"on resource: {question.target} {decision.reason}"
    )
