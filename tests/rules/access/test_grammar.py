"""The grammar of policies: what is unknown is refused when it is put, with the place and the fault."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.rules.access.actions import ECR_ACTIONS, REGISTRY_V1_ACTIONS
from mirror.rules.access.faults import PolicyInvalid
from mirror.rules.access.grammar import parse_policy
from mirror.rules.access.statements import PolicyKind

ARN = "arn:aws:ecr:us-west-2:444444444444:repository/prod-*"
ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*"}
PULL: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
REPLICATION = {
    "Sid": "ReplicationAccessCrossAccount",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
    "Action": ["ecr:CreateRepository", "ecr:ReplicateImage"],
    "Resource": [ARN],
}
TRUST = {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole"}


def policy(*statements: object, **more: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)} | more)


def without(statement: dict[str, Any], *keys: str, **more: object) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key not in keys} | more


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("identity", policy()),
        ("identity", policy(ALLOW)),
        ("identity", json.dumps({"Statement": ALLOW})),
        ("identity", policy(ALLOW, Version="2008-10-17", Id="x")),
        ("identity", policy(without(ALLOW, Action=["s3:GetObject", "kms:Decrypt", "iam:PassRole", "ecr:*"]))),
        ("identity", policy(without(ALLOW, "Action", "Resource", NotAction="ecr:*", NotResource=[ARN]))),
        ("identity", policy(without(ALLOW, Resource=["arn:aws:s3:::bucket/*", "arn:aws:ecr:*"]))),
        ("identity", policy(without(ALLOW, Resource="arn:aws:ecr:*:*:repository/${aws:username}/*"))),
        ("repository", policy(PULL)),
        ("repository", policy(PULL, without(PULL, Resource=ARN), without(PULL, Resource="*"))),
        ("repository", policy(without(PULL, Sid="new statement"), without(PULL, Sid="new statement"))),
        ("repository", policy(without(PULL, "Principal", NotPrincipal={"AWS": ["111111111111"]}, Effect="Deny"))),
        ("repository", policy(without(PULL, Principal={"AWS": "*", "Service": ["codebuild.amazonaws.com"]}))),
        ("repository", policy(without(PULL, Principal={"Federated": "accounts.google.com"}))),
        ("repository", policy(without(PULL, Principal={"CanonicalUser": "0a" * 32}))),
        ("repository", policy(without(PULL, Principal={"AWS": "arn:aws:iam::111111111111:role/a/b/r@x"}))),
        ("repository", policy(without(PULL, Principal={"AWS": "arn:aws:sts::111111111111:assumed-role/r/s"}))),
        ("repository", policy(without(PULL, Action=["*"]))),
        ("public-repository", policy(without(PULL, Action=["ecr-public:PutImage", "ecr-public:*"]))),
        ("registry-v1", policy(REPLICATION)),
        ("registry-v1", policy(without(REPLICATION, Action="ecr:Replicate*"))),
        ("registry-v2", policy(REPLICATION, without(REPLICATION, Action="ecr:*", Resource="*"))),
        ("trust", policy(TRUST, without(TRUST, Action=["sts:AssumeRole", "sts:TagSession"]))),
    ],
)
def test_a_policy_of_the_grammar_is_taken(kind: PolicyKind, text: str) -> None:
    """ECR.md 2.1 and 2.2, "Grammar"; IAM guide, "Grammar of the IAM JSON policy language"."""
    assert parse_policy(text, kind).kind == kind


@pytest.mark.parametrize(
    ("kind", "text", "path"),
    [
        ("identity", "", ""),
        ("identity", "[]", ""),
        ("identity", '"x"', ""),
        ("identity", "1", ""),
        ("identity", '{"Statement":[],"Statement":[]}', ""),
        ("identity", '{"Version":"2012-10-17"}', ""),
        ("identity", policy(ALLOW, Other=1), ""),
        ("identity", policy(ALLOW, Version="2013-01-01"), "Version"),
        ("identity", policy(ALLOW, Version=2012), "Version"),
        ("identity", policy(ALLOW, Version=["2012-10-17"]), "Version"),
        ("identity", policy(ALLOW, Id=7), "Id"),
        ("identity", '{"Statement":{}}', "Statement"),
        ("identity", '{"Statement":null}', "Statement"),
        ("repository", policy(), "Statement"),
        ("identity", policy("x"), "Statement[0]"),
        ("identity", policy(ALLOW, without(ALLOW, Extra=1)), "Statement[1]"),
        ("identity", policy(without(ALLOW, effect="Allow")), "Statement[0]"),
        ("identity", policy(without(ALLOW, Effect="allow")), "Statement[0].Effect"),
        ("identity", policy(without(ALLOW, Effect=["Allow"])), "Statement[0].Effect"),
        ("identity", policy(without(ALLOW, "Effect")), "Statement[0].Effect"),
        ("identity", policy(without(ALLOW, Sid=1)), "Statement[0].Sid"),
        ("identity", policy(without(ALLOW, "Action")), "Statement[0]"),
        ("identity", policy(without(ALLOW, NotAction="ecr:*")), "Statement[0]"),
        ("identity", policy(without(ALLOW, Action=[])), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, Action=["ecr:PutImage", 1])), "Statement[0].Action[1]"),
        ("identity", policy(without(ALLOW, Action="PutImage")), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, Action="ecr:PutImages")), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, Action="ecr:Pulls*")), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, Action="ecr-public:ListImageReferrers")), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, Action="e*:PutImage")), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, Action="ecr:${aws:username}")), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, "Resource")), "Statement[0]"),
        ("identity", policy(without(ALLOW, NotResource="*")), "Statement[0]"),
        ("identity", policy(without(ALLOW, Resource="prod-*")), "Statement[0].Resource"),
        ("identity", policy(without(ALLOW, Resource="arn:aws:ecr")), "Statement[0].Resource"),
        ("identity", policy(without(ALLOW, Resource="arn:aws:ecr:::${aws:nobody}")), "Statement[0].Resource"),
        ("identity", policy(without(ALLOW, Resource="arn:aws:ecr:::${aws:TagKeys}")), "Statement[0].Resource"),
        ("identity", policy(without(ALLOW, Resource="arn:aws:ecr:::${aws:username")), "Statement[0].Resource"),
        ("identity", policy(without(ALLOW, Resource="arn:aws:ecr:::${aws:username,x}")), "Statement[0].Resource"),
        ("identity", policy(without(ALLOW, Principal="*")), "Statement[0]"),
        ("repository", policy(without(PULL, "Principal")), "Statement[0]"),
        ("repository", policy(without(PULL, NotPrincipal="*")), "Statement[0]"),
        ("repository", policy(without(PULL, Principal="111111111111")), "Statement[0].Principal"),
        ("repository", policy(without(PULL, Principal={})), "Statement[0].Principal"),
        ("repository", policy(without(PULL, Principal={"AWS": []})), "Statement[0].Principal.AWS"),
        ("repository", policy(without(PULL, Principal={"GCP": "*"})), "Statement[0].Principal.GCP"),
        ("repository", policy(without(PULL, Principal={"AWS": "bob"})), "Statement[0].Principal.AWS"),
        ("repository", policy(without(PULL, Principal={"AWS": "arn:aws:iam::1:root"})), "Statement[0].Principal.AWS"),
        (
            "repository",
            policy(without(PULL, Principal={"AWS": ["*", "arn:aws:iam::111111111111:user/*"]})),
            "Statement[0].Principal.AWS[1]",
        ),
        (
            "repository",
            policy(without(PULL, Principal={"AWS": "arn:aws:iam::111111111111:user/a?/b"})),
            "Statement[0].Principal.AWS",
        ),
        (
            "repository",
            policy(without(PULL, Principal={"AWS": "arn:aws:iam::111111111111:root\n"})),
            "Statement[0].Principal.AWS",
        ),
        ("repository", policy(without(PULL, Principal={"Service": "*"})), "Statement[0].Principal.Service"),
        ("repository", policy(without(PULL, Action="s3:GetObject")), "Statement[0].Action"),
        ("repository", policy(without(PULL, Action="ecr-public:PutImage")), "Statement[0].Action"),
        ("repository", policy(without(PULL, NotResource="*")), "Statement[0]"),
        ("repository", policy(without(PULL, Resource="app")), "Statement[0].Resource"),
        ("public-repository", policy(PULL), "Statement[0].Action"),
        ("registry-v1", policy(without(REPLICATION, "Resource")), "Statement[0]"),
        ("registry-v1", policy(without(REPLICATION, Action="ecr:*")), "Statement[0].Action"),
        ("registry-v1", policy(without(REPLICATION, Action="ecr:BatchGetImage")), "Statement[0].Action"),
        ("registry-v2", policy(without(REPLICATION, Resource="arn:aws:s3:::b")), "Statement[0].Resource"),
        ("trust", policy(without(TRUST, Resource="*")), "Statement[0]"),
        ("trust", policy(without(TRUST, Action="sts:*")), "Statement[0].Action"),
        ("identity", policy(without(ALLOW, Condition=[])), "Statement[0].Condition"),
        ("identity", policy(without(ALLOW, Condition={"StringIs": {}})), "Statement[0].Condition.StringIs"),
        ("identity", policy(without(ALLOW, Condition={"Bool": {}})), "Statement[0].Condition.Bool"),
        ("identity", policy(without(ALLOW, Condition={"Bool": "x"})), "Statement[0].Condition.Bool"),
    ],
)
def test_what_is_unknown_is_refused_and_named(kind: PolicyKind, text: str, path: str) -> None:
    """RELIABILITY A37: unknown action, condition, version: an error at write."""
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(text, kind)
    assert refused.value.path == path


def test_policies_have_a_largest_size() -> None:
    """ECR.md 2.1: 10,240 characters; IAM quota of a role's inline policies, as many without spaces."""
    bare = policy(PULL, Id="")
    assert parse_policy(policy(PULL, Id="x" * (10_240 - len(bare))), "repository").statements
    with pytest.raises(PolicyInvalid):
        parse_policy(policy(PULL, Id="x" * (10_241 - len(bare))), "repository")
    assert parse_policy(policy(ALLOW) + " " * 10_000, "identity").statements
    with pytest.raises(PolicyInvalid):
        parse_policy(policy(ALLOW, Id="x" * 10_240), "identity")
    with pytest.raises(PolicyInvalid):
        parse_policy(policy(ALLOW) + " " * 131_072, "identity")


def test_not_action_means_the_other_actions_of_the_kind() -> None:
    """IAM guide, "NotAction": everything of what the policy can be about, but those."""
    repository = parse_policy(policy(without(PULL, "Action", NotAction="ecr:Batch*")), "repository")
    assert repository.by_action.keys() == {name for name in ECR_ACTIONS if not name.startswith("ecr:Batch")}
    registry = parse_policy(policy(without(REPLICATION, "Action", NotAction="ecr:ReplicateImage")), "registry-v1")
    assert registry.by_action.keys() == REGISTRY_V1_ACTIONS - {"ecr:ReplicateImage"}


scalars = st.sampled_from(["*", "Allow", "ecr:*", "2012-10-17", "arn:aws:ecr:::x", "${", 1, None, True, [], {}])
values = (
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["AWS", "Bool"]), scalars, max_size=2)
)
keys = st.sampled_from(
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition", "X"]
)


@given(
    st.dictionaries(keys, values), st.sampled_from(["identity", "repository", "registry-v1", "registry-v2", "trust"])
)
def test_nothing_but_a_refusal_comes_out_of_a_wrong_policy(statement: dict[str, Any], kind: PolicyKind) -> None:
    """RELIABILITY G23: no uncaught error of a pure parser."""
    try:
        parsed = parse_policy(policy(statement), kind)
    except PolicyInvalid:
        return
    assert len(parsed.statements) == 1
