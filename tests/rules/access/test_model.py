"""The evaluator against a model: the policies as they are written, read by brute force."""

import json
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.aws.principals import ANONYMOUS, Principal, root_of
from mirror.rules.access.evaluate import Question, decide
from mirror.rules.access.grammar import parse_policy

ONE, TWO = "111111111111", "222222222222"
ADA = Principal("user", ONE, "ada", id="A")
BOB = Principal("user", ONE, "bob", id="B")
CI = Principal("role", ONE, "ci", session="s", id="C")
EVE = Principal("user", TWO, "eve", id="E")
WHO = st.sampled_from([ADA, BOB, CI, EVE, ANONYMOUS, root_of(ONE), root_of(TWO)])
ACTIONS = ["ecr:BatchGetImage", "ecr:PutImage", "ecr:SetRepositoryPolicy", "ecr:GetAuthorizationToken"]
PREFIX = f"arn:aws:ecr:us-east-1:{ONE}:repository/"
NETWORK = "10.0.0.0/8"

effects = st.sampled_from(["Allow", "Allow", "Deny"])
actions = st.lists(st.sampled_from([*ACTIONS, "ecr:*", "ecr:Put*", "ecr:?etR*", "ecr:batch*"]), min_size=1, max_size=2)
named = st.lists(
    st.sampled_from(["*", ONE, TWO, f"arn:aws:iam::{TWO}:root", ADA.arn, EVE.arn, CI.arn, CI.principal_arn]),
    min_size=1,
    max_size=2,
)
places = st.lists(
    st.sampled_from(["*", f"{PREFIX}app", f"{PREFIX}a*", f"{PREFIX}?p?", PREFIX + "${aws:username}"]),
    min_size=1,
    max_size=2,
)
conditions = st.fixed_dictionaries(
    {},
    optional={
        "StringEquals": st.just({"aws:username": ["ada", "eve"]}),
        "StringNotEquals": st.just({"aws:username": ["bob"]}),
        "IpAddress": st.just({"aws:SourceIp": NETWORK}),
        "NotIpAddress": st.just({"aws:SourceIp": NETWORK}),
        "StringEqualsIfExists": st.just({"aws:username": "ada"}),
        "Null": st.sampled_from([{"aws:username": "true"}, {"aws:SourceIp": "false"}]),
    },
)


@st.composite
def statements(draw: st.DrawFn, *, of_resource: bool, registry: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": draw(effects), draw(st.sampled_from(["Action", "NotAction"])): draw(actions)}
    if of_resource:
        made[draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"]))] = {"AWS": draw(named)}
    if registry or not of_resource:
        made[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(places)
    if draw(st.booleans()):
        made["Condition"] = draw(conditions)
    return made


def applies(statement: dict[str, Any], question: Question) -> bool:
    who, facts = question.principal, question.context
    patterns = statement.get("Action", statement.get("NotAction"))
    if any(fnmatchcase(question.action.lower(), p.lower()) for p in patterns) == ("NotAction" in statement):
        return False
    name = who.name if who.kind == "user" else None
    target = "*" if question.action == "ecr:GetAuthorizationToken" else question.resource
    if "Resource" in statement or "NotResource" in statement:
        written = statement.get("Resource", statement.get("NotResource"))
        lacking = name is None and any("${" in text for text in written)
        if lacking and "NotResource" in statement and statement["Effect"] == "Allow":
            return False
        texts = [text.replace("${aws:username}", name or "") for text in written if name or "${" not in text]
        if any(fnmatchcase(target, text) for text in texts) == ("NotResource" in statement):
            return False
    source = facts.get("aws:sourceip", [None])[0]
    inside = source is not None and ip_address(source) in ip_network(NETWORK)
    truths = {
        "StringEquals": name in ("ada", "eve"),
        "StringNotEquals": name != "bob",
        "IpAddress": inside,
        "NotIpAddress": not inside,
        "StringEqualsIfExists": name in (None, "ada"),
    }
    for operator, block in statement.get("Condition", {}).items():
        if operator == "Null":
            if not ((name is None) if block == {"aws:username": "true"} else (source is not None)):
                return False
        elif not truths[operator]:
            return False
    return True


def names(statement: dict[str, Any], who: Principal) -> str:
    """Return "person", "account" or "" for how a statement of a resource policy names a principal."""
    texts = statement.get("Principal", statement.get("NotPrincipal"))["AWS"]
    own = {ADA: [ADA.arn], EVE: [EVE.arn], CI: [CI.arn, CI.principal_arn]}.get(who, [])
    found = ""
    if who.account and {who.account, f"arn:aws:iam::{who.account}:root"} & set(texts):
        found = "account"
    if "*" in texts or set(own) & set(texts):
        found = "person"
    if "Principal" in statement:
        return found
    of_the_account = any(text.count(":") > 4 and text.split(":")[4] == who.account for text in set(texts) - roots(who))
    if found == "account" and statement["Effect"] == "Deny" and who.kind != "root" and of_the_account:
        found = ""  # IAM guide, "NotPrincipal": the account stands beside its user, and exempts nobody else
    return "" if found or (who.kind == "anonymous" and statement["Effect"] == "Allow") else "person"


def roots(who: Principal) -> set[str]:
    return {f"arn:aws:iam::{who.account}:root"}


def model(question: Question, own: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> bool:
    """ECR.md 2.1, "Evaluation", word by word."""
    who = question.principal
    root, same = who.kind == "root", who.account == ONE
    mine = [s["Effect"] for s in own if applies(s, question)] if who.kind != "anonymous" else []
    if "Deny" in mine:
        return False
    identity = root or "Allow" in mine
    if question.action == "ecr:GetAuthorizationToken":
        return identity
    hits = [(s["Effect"], names(s, who)) for s in theirs if applies(s, question)]
    exempt = root and same and question.action == "ecr:SetRepositoryPolicy"
    if not exempt and any(effect == "Deny" and how for effect, how in hits):
        return False
    person = ("Allow", "person") in hits
    if who.kind == "anonymous":
        # Without a login a policy opens what can be read, and nothing else.
        reads = question.action.removeprefix("ecr:").startswith(("Get", "List", "Describe", "BatchGet", "BatchCheck"))
        return person and reads
    if same:
        return identity or person
    return identity and (person or ("Allow", "account") in hits)


@settings(max_examples=500)
@given(
    WHO,
    st.sampled_from(ACTIONS),
    st.sampled_from(["app", "ada", "bob", "zoo"]),
    st.lists(statements(of_resource=False), max_size=3),
    st.lists(statements(of_resource=True), max_size=2),
    st.lists(statements(of_resource=True, registry=True), max_size=2),
    st.sampled_from([None, "10.1.1.1", "11.1.1.1"]),
)
def test_the_evaluator_says_what_the_model_says(
    who: Principal,
    action: str,
    name: str,
    own: list[dict[str, Any]],
    repository: list[dict[str, Any]],
    registry: list[dict[str, Any]],
    source: str | None,
) -> None:
    """RELIABILITY A37: tables against a brute-force model. A decision that may be remembered holds from everywhere."""
    text = [json.dumps({"Version": "2012-10-17", "Statement": part}) for part in (own, repository, registry)]
    identity = [parse_policy(text[0], "identity")]
    resource = [parse_policy(text[1], "repository")] if repository else []
    resource += [parse_policy(text[2], "registry-v2")] if registry else []
    context = {"aws:sourceip": (source,)} if source else {}
    decision = decide(Question(who, action, PREFIX + name, ONE, context), identity=identity, resource=resource)
    assert decision.allowed is model(Question(who, action, PREFIX + name, ONE, context), own, repository + registry)
    assert bool(decision.reason) is not decision.allowed
    if not decision.volatile:
        for other in ("10.9.9.9", "12.1.1.1"):
            moved = Question(who, action, PREFIX + name, ONE, {"aws:sourceip": (other,)})
            assert decide(moved, identity=identity, resource=resource) == decision
