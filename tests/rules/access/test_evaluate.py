"""The evaluator: the worked examples, and each step of the evaluation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mirror.aws.principals import ANONYMOUS, Principal, root_of
from mirror.rules.access.evaluate import Decision, Question, decide, facts_of, refusal
from mirror.rules.access.grammar import parse_policy
from mirror.rules.access.managed import MANAGED_POLICIES
from mirror.rules.access.statements import Policy, PolicyKind

OURS, THEIRS = "111111111111", "222222222222"
APP = f"arn:aws:ecr:us-east-1:{OURS}:repository/team/app"
BOB = Principal("user", OURS, "bob", id="AIDABOB")
EVE = Principal("user", THEIRS, "eve", id="AIDAEVE")
DEPLOY = Principal("role", OURS, "deploy", path="/ci/", session="job-1", id="AROADEPLOY")
TOKEN = "ecr:GetAuthorizationToken"
GET, BLOB, PUT = "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:PutImage"
NO_IDENTITY = "because no identity-based policy allows the ecr:BatchGetImage action"
NO_RESOURCE = "because no resource-based policy allows the ecr:BatchGetImage action"
DENY_IDENTITY = "with an explicit deny in an identity-based policy"
DENY_RESOURCE = "with an explicit deny in a resource-based policy"


def policy(kind: PolicyKind, *statements: Mapping[str, Any]) -> Policy:
    return parse_policy(json.dumps({"Version": "2012-10-17", "Statement": statements}), kind)


def identity(action: Any, resource: Any = "*", effect: str = "Allow", **more: Any) -> Policy:
    return policy("identity", {"Effect": effect, "Action": action, "Resource": resource} | more)


def repository(principal: Any, action: Any, effect: str = "Allow", **more: Any) -> Policy:
    return policy("repository", {"Effect": effect, "Principal": principal, "Action": action} | more)


def ask(
    who: Principal,
    action: str,
    own: Sequence[Policy] = (),
    theirs: Sequence[Policy] = (),
    resource: str = APP,
    **context: str,
) -> Decision:
    facts = {key.replace("_", ":", 1): (value,) for key, value in context.items()}
    return decide(Question(who, action, resource, OURS, facts), identity=own, resource=theirs)


def test_a_whole_account_is_named_and_its_own_policies_decide() -> None:
    """ECR.md 2.1, worked example 1."""
    theirs = [repository({"AWS": f"arn:aws:iam::{THEIRS}:root"}, GET)]
    full = [identity("ecr:*")]
    assert ask(EVE, GET, full, theirs).allowed
    assert ask(EVE, BLOB, full, theirs).reason == NO_RESOURCE.replace(GET, BLOB)
    assert ask(EVE, GET, (), theirs).reason == NO_IDENTITY
    assert ask(BOB, GET, (), theirs).reason == NO_IDENTITY
    assert ask(EVE, GET, full, [repository({"AWS": THEIRS}, GET)]).allowed


def test_a_policy_for_everybody_lets_the_owners_users_in_but_not_log_in() -> None:
    """ECR.md 2.1, worked example 2."""
    theirs = [repository("*", "ecr:Batch*")]
    assert ask(BOB, GET, (), theirs).allowed
    assert not ask(BOB, TOKEN, (), theirs).allowed
    assert not ask(BOB, TOKEN, (), [repository("*", "ecr:*")]).allowed
    assert ask(BOB, TOKEN, [identity(TOKEN)], theirs).allowed


@pytest.mark.parametrize("who", [ANONYMOUS, BOB, EVE, root_of(THEIRS)])
def test_everyone_may_always_pull_from_a_public_repository(who: Principal) -> None:
    """ECR.md 2.1, worked example 3: a Deny on pull actions has no effect."""
    deny = [policy("public-repository", {"Effect": "Deny", "Principal": "*", "Action": "ecr-public:*"})]
    own = [identity("ecr-public:*", effect="Deny")]
    for action in ("BatchGetImage", "GetDownloadUrlForLayer", "ListImages"):
        assert ask(who, f"ecr-public:{action}", own, deny).allowed
    assert not ask(who, "ecr-public:PutImage", (), deny).allowed
    allow = [policy("public-repository", {"Effect": "Allow", "Principal": "*", "Action": "ecr-public:PutImage"})]
    assert ask(BOB, "ecr-public:PutImage", (), allow).allowed


def test_a_registry_policy_takes_replication_from_another_account() -> None:
    """ECR.md 2.2, the replication example: the source's root needs nothing on its own side."""
    statement = {
        "Sid": "ReplicationAccessCrossAccount",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{THEIRS}:root"},
        "Action": ["ecr:ReplicateImage"],
        "Resource": [f"arn:aws:ecr:us-east-1:{OURS}:repository/prod-*"],
    }
    kinds: tuple[PolicyKind, ...] = ("registry-v1", "registry-v2")
    for kind in kinds:
        theirs = [policy(kind, statement)]
        web = f"arn:aws:ecr:us-east-1:{OURS}:repository/prod-web"
        assert ask(root_of(THEIRS), "ecr:ReplicateImage", (), theirs, web).allowed
        assert not ask(root_of(THEIRS), "ecr:ReplicateImage", (), theirs, APP).allowed
        assert not ask(root_of(THEIRS), "ecr:CreateRepository", (), theirs, web).allowed
        assert not ask(root_of("333333333333"), "ecr:ReplicateImage", (), theirs, web).allowed


def test_a_registry_policy_of_the_second_version_is_about_every_action() -> None:
    """ECR.md 2.2: V2 applies to all requests; an Allow in it suffices in the same account, a Deny wins."""
    allow = {"Effect": "Allow", "Principal": {"AWS": BOB.arn}, "Action": "ecr:*", "Resource": "*"}
    assert ask(BOB, PUT, (), [policy("registry-v2", allow)]).allowed
    assert not ask(DEPLOY, PUT, (), [policy("registry-v2", allow)]).allowed
    deny = allow | {"Effect": "Deny", "Principal": "*", "Resource": APP}
    assert ask(BOB, PUT, [identity("ecr:*")], [policy("registry-v2", allow, deny)]).reason == DENY_RESOURCE
    assert ask(BOB, PUT, [identity("ecr:*")], [policy("registry-v2", allow, deny)], APP + "2").allowed


DENIES = [repository("*", "ecr:*", "Deny")]


@pytest.mark.parametrize(
    ("who", "own", "theirs", "reason"),
    [
        (BOB, [], [], NO_IDENTITY),
        (EVE, [], [], NO_IDENTITY),
        (EVE, [identity("ecr:*")], [], NO_RESOURCE),
        (BOB, [identity("ecr:*"), identity(GET, effect="Deny")], [], DENY_IDENTITY),
        (BOB, [identity("ecr:*")], DENIES, DENY_RESOURCE),
        (BOB, [identity("ecr:*"), identity("*", effect="Deny")], DENIES, DENY_IDENTITY),
        (ANONYMOUS, [], [], NO_RESOURCE),
        (ANONYMOUS, [identity("*")], [], NO_RESOURCE),
        (ANONYMOUS, [], [repository({"AWS": OURS}, "ecr:*")], NO_RESOURCE),
        (ANONYMOUS, [], DENIES, DENY_RESOURCE),
        (BOB, [], [repository({"AWS": OURS}, GET)], NO_IDENTITY),
        (BOB, [], [repository({"AWS": EVE.arn}, GET)], NO_IDENTITY),
        (BOB, [], [repository({"Service": "ecr.amazonaws.com"}, GET)], NO_IDENTITY),
        (root_of(OURS), [], DENIES, DENY_RESOURCE),
        (root_of(THEIRS), [], [], NO_RESOURCE),
    ],
)
def test_a_refusal_says_which_side_did_not_allow(
    who: Principal, own: list[Policy], theirs: list[Policy], reason: str
) -> None:
    """ECR.md 1.3, AccessDeniedException; 2.1, evaluation steps 1, 3, 4, 5."""
    decision = ask(who, GET, own, theirs)
    assert (decision.allowed, decision.reason) == (False, reason)
    name = who.arn
    assert refusal(Question(who, GET, APP, OURS, {}), decision) == (
        f"User: {name} is not authorized to perform: ecr:BatchGetImage on resource: {APP} {reason}"
    )


@pytest.mark.parametrize(
    ("who", "own", "theirs"),
    [
        (BOB, [identity("ecr:*", APP)], []),
        (BOB, [identity("ECR:batchget*", "arn:aws:ecr:*:*:repository/team/*")], []),
        (BOB, [], [repository({"AWS": BOB.arn}, GET)]),
        (BOB, [], [repository({"AWS": "*"}, GET)]),
        (DEPLOY, [], [repository({"AWS": f"arn:aws:iam::{OURS}:role/ci/deploy"}, GET)]),
        (DEPLOY, [], [repository({"AWS": f"arn:aws:sts::{OURS}:assumed-role/deploy/job-1"}, GET)]),
        (EVE, [identity(GET)], [repository({"AWS": EVE.arn}, GET)]),
        (EVE, [identity(GET)], [repository("*", GET)]),
        (ANONYMOUS, [], [repository("*", GET)]),
        (ANONYMOUS, [], [repository({"AWS": ["*"]}, GET)]),
        (root_of(OURS), [], []),
        (root_of(THEIRS), [], [repository({"AWS": THEIRS}, GET)]),
    ],
)
def test_an_allow_of_the_right_side_opens(who: Principal, own: list[Policy], theirs: list[Policy]) -> None:
    """ECR.md 2.1, evaluation steps 3 and 4."""
    assert ask(who, GET, own, theirs) == Decision(True, "", False)


def test_a_deny_of_the_root_is_one_of_the_whole_account() -> None:
    """IAM guide, "AWS account principals"."""
    theirs = [repository({"AWS": OURS}, "ecr:*", "Deny")]
    assert ask(BOB, GET, [identity("ecr:*")], theirs).reason == DENY_RESOURCE
    assert ask(EVE, GET, [identity("ecr:*")], [*theirs, repository("*", GET)]).allowed


def test_everybody_without_a_login_may_read_at_most() -> None:
    """Issue 3, section 3, "Anonymous pulls": by repository policy; one that says `*` opens no push to the world."""
    theirs = [repository("*", "ecr:*")]
    for action in (GET, "ecr:GetDownloadUrlForLayer", "ecr:ListImages"):
        assert ask(ANONYMOUS, action, (), theirs).allowed
    for action in ("ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:BatchDeleteImage", "ecr:SetRepositoryPolicy"):
        assert not ask(ANONYMOUS, action, (), theirs).allowed
        assert ask(BOB, action, (), theirs).allowed


def test_not_principal_is_everybody_else() -> None:
    """IAM guide, "NotPrincipal"; an Allow for all but somebody is not one for nobody in particular."""
    but_bob = policy("repository", {"Effect": "Deny", "NotPrincipal": {"AWS": BOB.arn}, "Action": "ecr:*"})
    for who, allowed in ((BOB, True), (DEPLOY, False), (EVE, False), (ANONYMOUS, False)):
        assert ask(who, GET, [identity("ecr:*")], [but_bob, repository("*", GET)]).allowed is allowed
    # The guide's own form: the account has to stand beside its user.
    named = {"AWS": [BOB.arn, f"arn:aws:iam::{OURS}:root"]}
    but_bob = policy("repository", {"Effect": "Deny", "NotPrincipal": named, "Action": "ecr:*"})
    for who, allowed in ((BOB, True), (DEPLOY, False), (root_of(OURS), True), (EVE, False)):
        assert ask(who, GET, [identity("ecr:*")], [but_bob, repository("*", GET)]).allowed is allowed
    but_ours = policy("repository", {"Effect": "Deny", "NotPrincipal": {"AWS": OURS}, "Action": "ecr:*"})
    assert ask(BOB, GET, [identity("ecr:*")], [but_ours]).allowed
    all_but_bob = policy("repository", {"Effect": "Allow", "NotPrincipal": {"AWS": BOB.arn}, "Action": "ecr:*"})
    for who, allowed in ((BOB, False), (DEPLOY, True), (ANONYMOUS, False)):
        assert ask(who, GET, (), [all_but_bob]).allowed is allowed


def test_the_root_always_finds_the_way_back_to_its_policies() -> None:
    """Nobody locks himself out for ever; another account's root has no such way."""
    registry = [policy("registry-v2", {"Effect": "Deny", "Principal": "*", "Action": "ecr:*", "Resource": "*"})]
    for action in ("GetRepositoryPolicy", "SetRepositoryPolicy", "DeleteRepositoryPolicy", "PutRegistryPolicy"):
        assert ask(root_of(OURS), f"ecr:{action}", (), DENIES + registry).allowed
        assert not ask(root_of(THEIRS), f"ecr:{action}", (), [repository("*", "ecr:*"), *DENIES]).allowed
        assert not ask(BOB, f"ecr:{action}", [identity("*")], DENIES).allowed
    assert not ask(root_of(OURS), "ecr:DeleteRepository", (), DENIES).allowed


def test_operations_without_a_resource_are_about_the_star() -> None:
    """ECR.md 2.1: Resource must be `*`."""
    assert not ask(BOB, "ecr:CreatePullThroughCacheRule", [identity("ecr:*", "arn:aws:ecr:*")]).allowed
    assert ask(BOB, "ecr:CreatePullThroughCacheRule", [identity("ecr:*")]).allowed
    question = Question(BOB, TOKEN, APP, OURS, {})
    decision = decide(question, identity=(), resource=())
    assert refusal(question, decision).endswith(
        "ecr:GetAuthorizationToken on resource: * because no identity-based policy allows "
        "the ecr:GetAuthorizationToken action"
    )


def test_not_action_and_not_resource_are_all_the_others() -> None:
    """RELIABILITY A37: NotAction and NotResource."""
    own = [policy("identity", {"Effect": "Allow", "NotAction": ["ecr:Put*", "iam:*"], "NotResource": APP + "*"})]
    assert ask(BOB, GET, own, (), APP[:-1]).allowed
    assert not ask(BOB, GET, own).allowed
    assert not ask(BOB, PUT, own, (), APP[:-1]).allowed
    assert not ask(BOB, "iam:CreateUser", own, (), "*").allowed
    assert ask(BOB, TOKEN, own).allowed


def test_a_variable_gives_each_user_a_place_of_his_own() -> None:
    """IAM guide, "Variables": `${aws:username}` in Resource; a role has no user name."""
    own = [identity("ecr:*", f"arn:aws:ecr:*:{OURS}:repository/home/${{aws:username}}/*")]
    home = f"arn:aws:ecr:us-east-1:{OURS}:repository/home"
    assert ask(BOB, PUT, own, (), f"{home}/bob/x").allowed
    assert not ask(BOB, PUT, own, (), f"{home}/eve/x").allowed
    star = Principal("user", OURS, "*", id="AIDASTAR")
    assert not ask(star, PUT, own, (), f"{home}/eve/x").allowed
    assert not ask(DEPLOY, PUT, own, (), f"{home}/deploy/x").allowed
    but_home = {"NotResource": "arn:aws:ecr:*:*:repository/home/${aws:username}/*", "Action": "ecr:*"}
    assert not ask(DEPLOY, PUT, [policy("identity", {"Effect": "Allow"} | but_home)]).allowed
    assert ask(DEPLOY, PUT, [identity("*"), policy("identity", {"Effect": "Deny"} | but_home)]).reason == DENY_IDENTITY


def test_what_follows_from_who_asks_is_not_the_requests_to_say() -> None:
    own = [identity("ecr:*", Condition={"StringEquals": {"aws:username": "admin"}})]
    question = Question(BOB, GET, APP, OURS, {"aws:username": ("admin",)})
    assert not decide(question, identity=own, resource=()).allowed
    question = Question(DEPLOY, GET, APP, OURS, {"aws:username": ("admin",)})
    assert not decide(question, identity=own, resource=()).allowed


@pytest.mark.parametrize(
    ("who", "facts"),
    [
        (BOB, {"type": "User", "arn": BOB.arn, "account": OURS, "userid": "AIDABOB", "username": "bob"}),
        (
            DEPLOY,
            {
                "type": "AssumedRole",
                "arn": f"arn:aws:iam::{OURS}:role/ci/deploy",
                "account": OURS,
                "userid": "AROADEPLOY:job-1",
            },
        ),
        (root_of(OURS), {"type": "Account", "arn": f"arn:aws:iam::{OURS}:root", "account": OURS, "userid": OURS}),
        (ANONYMOUS, {"type": "Anonymous", "userid": "anonymous"}),
    ],
)
def test_a_principal_has_its_condition_keys(who: Principal, facts: dict[str, str]) -> None:
    """IAM guide, "Principal key values"."""
    keys = {"type": "aws:principaltype", "arn": "aws:principalarn", "account": "aws:principalaccount"}
    given = {key: value[0] for key, value in facts_of(who).items() if value}
    assert given == {keys.get(key, f"aws:{key}"): value for key, value in facts.items()}


VOLATILE = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
LASTING = {"StringEquals": {"aws:username": "bob"}}


@pytest.mark.parametrize(
    ("own", "volatile"),
    [
        (identity(GET), False),
        (identity(GET, Condition=LASTING), False),
        (identity(GET, Condition=VOLATILE), True),
        (identity(GET, effect="Deny", Condition=VOLATILE), True),
        (identity(PUT, Condition=VOLATILE), False),
        (identity(GET, APP + "2", Condition=VOLATILE), False),
        (identity(GET, Condition={"Null": {"aws:RequestTag/x": "true"}}), True),
        (identity(GET, Condition={"StringLike": {"aws:username": "${aws:UserAgent}"}}), True),
        (identity(GET, "arn:aws:ecr:*:*:repository/${aws:UserAgent}"), True),
        (identity(GET, "arn:aws:ecr:*:*:repository/${aws:username}"), False),
    ],
)
def test_a_decision_that_only_this_request_explains_is_not_to_be_remembered(own: Policy, volatile: bool) -> None:
    assert ask(BOB, GET, [own]).volatile is volatile
    assert ask(BOB, GET, [own], aws_sourceip="10.1.1.1").volatile is volatile


def test_a_condition_is_asked_of_the_request() -> None:
    own = [identity(GET, Condition=VOLATILE)]
    assert ask(BOB, GET, own, aws_sourceip="10.1.1.1").allowed
    assert not ask(BOB, GET, own, aws_sourceip="11.1.1.1").allowed
    assert not ask(BOB, GET, own).allowed


@pytest.mark.parametrize(
    ("who", "trusted", "own", "allowed"),
    [
        (BOB, {"AWS": BOB.arn}, [], True),
        (BOB, {"AWS": OURS}, [], False),
        (BOB, {"AWS": OURS}, [identity("sts:AssumeRole")], True),
        (BOB, {"AWS": THEIRS}, [identity("sts:*")], False),
        (EVE, {"AWS": THEIRS}, [identity("sts:AssumeRole")], True),
        (EVE, {"AWS": EVE.arn}, [], False),
        (root_of(THEIRS), {"AWS": THEIRS}, [], True),
        (ANONYMOUS, {"AWS": THEIRS}, [], False),
    ],
)
def test_a_role_is_assumed_by_whom_it_trusts(who: Principal, trusted: object, own: list[Policy], allowed: bool) -> None:
    """IAM guide, "Cross-account policy evaluation logic": a trust policy has to name who assumes."""
    trust = policy("trust", {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"})
    assert ask(who, "sts:AssumeRole", own, [trust], f"arn:aws:iam::{OURS}:role/r").allowed is allowed


def test_the_guides_user_policy_for_a_push_is_enough() -> None:
    """ECR.md 2.1: the example user policy."""
    steps = "CompleteLayerUpload UploadLayerPart InitiateLayerUpload BatchCheckLayerAvailability PutImage BatchGetImage"
    actions = [f"ecr:{name}" for name in steps.split()]
    own = [identity(actions, APP), identity(TOKEN)]
    assert all(ask(BOB, action, own).allowed for action in (*actions, TOKEN))
    assert not any(ask(BOB, action, own, (), APP + "2").allowed for action in actions)


def test_a_read_only_user_does_not_push() -> None:
    own = [parse_policy(MANAGED_POLICIES["AmazonEC2ContainerRegistryReadOnly"], "identity")]
    assert ask(BOB, GET, own).allowed
    assert not ask(BOB, PUT, own).allowed
