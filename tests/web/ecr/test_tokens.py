"""GetAuthorizationToken of both services."""

import base64
import json
import time

from control_calls import ControlCalls
from registries import HOME

from mirror.aws.principals import root_of
from mirror.rules.identities import user_principal

A = HOME.account
OTHER = "222222222222"


def password_of(token: str) -> str:
    """Split as the CLI does: a second colon would be an error."""
    user, password = base64.b64decode(token, validate=True).decode().split(":")
    assert user == "AWS"
    return password


async def test_the_private_token_is_in_a_list(ecr: ControlCalls) -> None:
    """ECR.md 3.2: twelve hours; proxyEndpoint is the registry's address."""
    [data] = (await ecr("GetAuthorizationToken"))["authorizationData"]
    assert data.keys() == {"authorizationToken", "expiresAt", "proxyEndpoint"}
    assert data["proxyEndpoint"] == ecr.house.hosts.endpoint(HOME)
    assert abs(data["expiresAt"] - time.time() - 12 * 3_600) < 60
    password = password_of(data["authorizationToken"])
    assert json.loads(base64.b64decode(password))["type"] == "DATA_KEY"
    caller = ecr.house.known.tokens.verify_login(password, ("ecr",), time.time())
    assert caller.principal == root_of(A)


async def test_there_is_an_entry_for_each_registry_asked_for(ecr: ControlCalls) -> None:
    """ECR.md 3.2: `registryIds`, one entry each, ten at most."""
    data = (await ecr("GetAuthorizationToken", registryIds=[A, OTHER, A]))["authorizationData"]
    assert [one["proxyEndpoint"] for one in data] == [
        ecr.house.hosts.endpoint(HOME),
        f"http://{OTHER}.dkr.ecr.us-east-1.localhost",
    ]
    refusal = await ecr.refused("GetAuthorizationToken", registryIds=[A] * 11)
    assert refusal.type == "InvalidParameterException"


async def test_the_public_token_is_an_object_and_for_public_registries_only(ecr: ControlCalls) -> None:
    """ECR.md 3.2 and 5, item 2: no proxyEndpoint."""
    data = (await ecr("GetAuthorizationToken", service="ecr-public"))["authorizationData"]
    assert data.keys() == {"authorizationToken", "expiresAt"}
    password = password_of(data["authorizationToken"])
    assert ecr.house.known.tokens.verify_login(password, ("ecr-public",), time.time()).principal == root_of(A)


async def test_a_token_names_the_caller(ecr: ControlCalls) -> None:
    """ECR.md 3.2: the token represents the IAM principal."""
    made = await ecr.house.known.identities.holders.create_user(A, "ci", 1.0, "/")
    me = user_principal(A, made)
    [data] = (await ecr("GetAuthorizationToken", principal=me))["authorizationData"]
    password = password_of(data["authorizationToken"])
    assert ecr.house.known.tokens.verify_login(password, ("ecr",), time.time()).principal == me
