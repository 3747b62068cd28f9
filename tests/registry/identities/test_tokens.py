"""Tokens: what is ours is taken while its owner is there; sixty forgeries are not; an old one is told so."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from mirror.aws.principals import ANONYMOUS
from mirror.oci.errors import Unauthorized
from mirror.registry.identities import Assumption, Caller, Credential, Scope, SigningKeys, TokenExpired
from mirror.rules.identities import user_principal

ACCOUNT = "123456789012"
NOW = 1_800_000_000.0
HOUR = 3_600.0
HOST = "registry.example.com"
PULL = (Scope("repository", "acme/app", ("pull",)),)


async def login(world: Any, **more: Any) -> tuple[Any, str, str]:
    """Return a user, its access key and the password that it got for it."""
    user = await world.user("ci")
    key, _ = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    credential = world.identities.credential(key.id)
    return user, key.id, world.tokens.issue_login(user, credential, "ecr", NOW, **more).text


def verify(world: Any, password: str, now: float = NOW + 1) -> Caller:
    return world.tokens.verify_login(password, ("ecr",), now)


# What is good.


async def test_an_authorization_token_names_its_principal_for_twelve_hours(world: Any) -> None:
    """ECR.md 3.2: expiresAt = now + 12 h; the token represents the IAM principal."""
    user, key_id, password = await login(world)
    assert verify(world, password, NOW + 12 * HOUR - 1) == Caller(
        user, NOW + 12 * HOUR, key_id, None, f"{key_id}@{NOW}"
    )
    with pytest.raises(TokenExpired) as caught:
        verify(world, password, NOW + 12 * HOUR)
    assert caught.value.message == "Your authorization token has expired. Reauthenticate and try again."
    assert (caught.value.status, caught.value.code) == (403, "DENIED")


async def test_a_password_is_the_envelope_that_ecr_gives_and_has_no_colon(world: Any) -> None:
    """ECR.md 3.2 and section 5, point 3: the CLI splits at the colon."""
    _, _, password = await login(world)
    assert ":" not in password
    assert not set(password) & set(" \n\t")
    envelope = json.loads(base64.b64decode(password, validate=True))
    assert list(envelope) == ["payload", "datakey", "version", "type", "expiration"]
    assert (envelope["version"], envelope["type"], envelope["expiration"]) == ("2", "DATA_KEY", int(NOW + 12 * HOUR))


async def test_a_token_fits_the_header_it_travels_in(world: Any) -> None:
    """The longest names that IAM takes, in base64 in base64 in base64, below 8 KiB."""
    path = "/" + "p" * 500 + "/"
    made = await world.identities.holders.create_user(ACCOUNT, "u" * 64, NOW, path)
    principal = user_principal(ACCOUNT, made)
    password = world.tokens.issue_login(principal, Credential("AKIA" + "K" * 124), "ecr-public", NOW).text
    assert len(base64.b64encode(b"AWS:" + password.encode())) < 6_000
    assert world.tokens.verify_login(password, ("ecr-public",), NOW).principal == principal


async def test_a_bearer_token_has_its_scopes_for_a_quarter_of_an_hour(world: Any) -> None:
    """RELIABILITY A21: a scope's token lives for at most fifteen minutes."""
    user = await world.user("ci")
    issued = world.tokens.issue_bearer(user, Credential(), HOST, PULL, NOW)
    assert issued.expires_at == NOW + 900
    assert world.tokens.verify_bearer(issued.text, HOST, NOW + 899).scopes == PULL
    with pytest.raises(TokenExpired):
        world.tokens.verify_bearer(issued.text, HOST, NOW + 900)


async def test_anybody_may_have_a_bearer_token_for_the_public_registry(world: Any) -> None:
    """ECR.md 3.4: the token endpoint answers anonymous callers."""
    issued = world.tokens.issue_bearer(ANONYMOUS, Credential(), HOST, None, NOW, 12 * HOUR)
    caller = world.tokens.verify_bearer(issued.text, HOST, NOW + 11 * HOUR)
    assert (caller.principal, caller.scopes) == (ANONYMOUS, None)


async def test_a_token_got_for_a_token_does_not_outlive_it(world: Any) -> None:
    """A chain of tokens ends with its first link."""
    _, _, password = await login(world)
    caller = verify(world, password)
    issued = world.tokens.issue_bearer(caller.principal, caller.credential, HOST, PULL, NOW + 12 * HOUR - 60)
    assert issued.expires_at == NOW + 12 * HOUR


async def test_a_token_of_a_role_session_ends_with_the_session(world: Any) -> None:
    """ECR.md 3.2, and IAM: temporary credentials give nothing that lasts longer."""
    user = await world.user("ci")
    key, _ = await world.identities.keys.create(ACCOUNT, "ci", NOW)
    trust = {"Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": "sts:AssumeRole"}
    arn = await world.role("deploy", json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    session = world.identities.assume_role(user, key.id, Assumption(arn, "night"), NOW)
    world.identities.find_key(session.key_id, session.token, NOW)
    credential = world.identities.credential(session.key_id)
    issued = world.tokens.issue_login(session.principal, credential, "ecr", NOW)
    assert issued.expires_at == NOW + HOUR
    await world.identities.holders.delete(ACCOUNT, "role", "deploy")
    with pytest.raises(Unauthorized):
        verify(world, issued.text)


async def test_tokens_of_an_old_key_are_good_until_they_expire(world: Any) -> None:
    """A rotation logs nobody out, a restart neither."""
    user, _, _ = await login(world)
    password = world.tokens.issue_login(user, Credential(), "ecr", NOW + 24 * HOUR - 1).text
    await world.keys.rotate(NOW + 24 * HOUR)
    world.keys.load()
    world.tokens._verified.clear()
    assert verify(world, password, NOW + 35 * HOUR).principal == user
    await world.keys.rotate(NOW + 38 * HOUR)
    with pytest.raises(TokenExpired):
        verify(world, password, NOW + 38 * HOUR)


async def test_a_remembered_token_is_not_taken_once_its_key_is_gone(world: Any) -> None:
    """What was verified once is verified again when its key is no longer accepted."""
    user = await world.user("ci")
    text = world.tokens.issue_bearer(user, Credential(), HOST, PULL, NOW).text
    world.tokens.verify_bearer(text, HOST, NOW)
    world.keys._keys.clear()
    with pytest.raises(Unauthorized):
        world.tokens.verify_bearer(text, HOST, NOW)


async def test_a_clock_that_was_set_back_a_minute_refuses_nobody(world: Any) -> None:
    """RELIABILITY G24: tokens within 60 s of skew are good."""
    _, _, password = await login(world)
    assert verify(world, password, NOW - 60)
    with pytest.raises(Unauthorized):
        verify(world, password, NOW - 61)


async def test_the_memory_of_verified_tokens_has_a_limit(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY A2."""
    monkeypatch.setattr("mirror.registry.identities.tokens.VERIFIED_MAX", 4)
    user = await world.user("ci")
    for second in range(10):
        text = world.tokens.issue_bearer(user, Credential(), HOST, PULL, NOW + second).text
        world.tokens.verify_bearer(text, HOST, NOW + second)
    assert len(world.tokens._verified) == 4


# What it dies with (RELIABILITY A21).


async def _switch_off(world: Any, key_id: str) -> None:
    await world.identities.keys.switch(ACCOUNT, "ci", key_id, active=False)


async def _delete_key(world: Any, key_id: str) -> None:
    await world.identities.keys.delete(ACCOUNT, "ci", key_id)


async def _delete_user(world: Any, key_id: str) -> None:
    await world.identities.keys.delete(ACCOUNT, "ci", key_id)
    await world.identities.holders.delete(ACCOUNT, "user", "ci")


async def _make_again(world: Any, key_id: str) -> None:
    await _delete_user(world, key_id)
    await world.identities.holders.create_user(ACCOUNT, "ci", NOW)
    await world.identities.keys.create(ACCOUNT, "ci", NOW)


@pytest.mark.parametrize("end", [_switch_off, _delete_key, _delete_user, _make_again])
async def test_a_token_dies_with_what_it_hangs_on(world: Any, end: Callable[..., Any]) -> None:
    """RELIABILITY A21: the next request after the revocation is refused, remembered signature or not."""
    _, key_id, password = await login(world)
    verify(world, password)
    await end(world, key_id)
    with pytest.raises(Unauthorized):
        verify(world, password)


async def test_a_key_that_is_switched_on_again_gives_its_tokens_back(world: Any) -> None:
    """UpdateAccessKey is not a deletion."""
    _, key_id, password = await login(world)
    await _switch_off(world, key_id)
    await world.identities.keys.switch(ACCOUNT, "ci", key_id, active=True)
    assert verify(world, password)


@pytest.mark.parametrize("change", ["update", "delete"])
async def test_a_token_got_by_password_dies_with_the_password(world: Any, change: str) -> None:
    """RELIABILITY A21: a changed password ends what the old one gave."""
    await world.user("ci")
    await world.identities.logins.create(ACCOUNT, "ci", "correct horse", NOW)
    user, credential = await world.identities.logins.check(ACCOUNT, "ci", "correct horse")
    text = world.tokens.issue_bearer(user, credential, HOST, PULL, NOW).text
    assert world.tokens.verify_bearer(text, HOST, NOW).principal == user
    if change == "update":
        await world.identities.logins.update(ACCOUNT, "ci", "correct horse", NOW)
    else:
        await world.identities.logins.delete(ACCOUNT, "ci")
    with pytest.raises(Unauthorized):
        world.tokens.verify_bearer(text, HOST, NOW)


# Forgeries (RELIABILITY G19). Each takes a good bearer token apart and makes a bad one of it.


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Forge:
    """A good token in its parts, and the key that signed it."""

    def __init__(self, token: str, keys: SigningKeys) -> None:
        self.token = token
        self.header, self.payload, self.signature = token.split(".")
        self.head = json.loads(unb64(self.header))
        self.claims = json.loads(unb64(self.payload))
        self.secret = keys.current.secret

    def signed(self, header: str, payload: str, digest: str = "sha256", secret: bytes | None = None) -> str:
        text = f"{header}.{payload}"
        return f"{text}.{b64(hmac.new(secret or self.secret, text.encode(), digest).digest())}"

    def with_head(self, **changes: Any) -> str:
        return self.signed(b64(json.dumps({**self.head, **changes}).encode()), self.payload)

    def with_raw_head(self, text: str) -> str:
        return self.signed(b64(text.encode()), self.payload)

    def with_claims(self, **changes: Any) -> str:
        claims = {name: value for name, value in {**self.claims, **changes}.items() if value is not ...}
        return self.with_raw_claims(json.dumps(claims))

    def with_raw_claims(self, text: str) -> str:
        return self.signed(self.header, b64(text.encode()))

    def spare_bits(self, segment: str) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return segment[:-1] + alphabet[alphabet.index(segment[-1]) ^ 1]


FORGERIES: dict[str, Callable[[Forge], str]] = {
    # Nothing, and too much.
    "empty": lambda f: "",
    "no dots": lambda f: "a" * 300,
    "one dot": lambda f: f"{f.header}.{f.payload}",
    "three dots": lambda f: f"{f.token}.",
    "jwe, five parts": lambda f: f"{f.token}.{f.payload}.{f.signature}",
    "10^5 dots": lambda f: "." * 100_000,
    "a megabyte": lambda f: f.token + "A" * 1_000_000,
    "a megabyte of header": lambda f: f"{'A' * 1_000_000}.{f.payload}.{f.signature}",
    "9 KiB of header": lambda f: f.with_head(pad="x" * 9_000),
    "empty header": lambda f: f.signed("", f.payload),
    "empty payload": lambda f: f.signed(f.header, ""),
    "empty signature": lambda f: f"{f.header}.{f.payload}.",
    "pem for a token": lambda f: "-----BEGIN PUBLIC KEY-----",
    "not ascii": lambda f: f.token[:-1] + "\u0661",
    "nul": lambda f: f.token + "\0",
    # Algorithms.
    "alg none, unsigned": lambda f: f"{b64(json.dumps({**f.head, 'alg': 'none'}).encode())}.{f.payload}.",
    "alg none, signed": lambda f: f.with_head(alg="none"),
    "alg None": lambda f: f.with_head(alg="None"),
    "alg nOnE, unsigned": lambda f: f"{b64(json.dumps({**f.head, 'alg': 'nOnE'}).encode())}.{f.payload}.",
    "alg null": lambda f: f.with_head(alg=None),
    "alg a number": lambda f: f.with_head(alg=256),
    "alg a list": lambda f: f.with_head(alg=["HS256"]),
    "alg hs256": lambda f: f.with_head(alg="hs256"),
    "alg RS256": lambda f: f.with_head(alg="RS256"),
    "alg ES256": lambda f: f.with_head(alg="ES256"),
    "alg HS384": lambda f: f.signed(b64(json.dumps({**f.head, "alg": "HS384"}).encode()), f.payload, "sha384"),
    "HS384 under HS256": lambda f: f.signed(f.header, f.payload, "sha384"),
    "alg PBES2": lambda f: f.with_head(alg="PBES2-HS256+A128KW", p2c=2**31, p2s="AA"),
    "no alg": lambda f: f.with_raw_head(json.dumps({"kid": f.head["kid"], "typ": "JWT"})),
    "two algs": lambda f: f.with_raw_head(f'{{"alg":"none","alg":"HS256","kid":"{f.head["kid"]}","typ":"JWT"}}'),
    # Keys.
    "signed with nothing": lambda f: f.signed(f.header, f.payload, secret=b"\0"),
    "signed with the kid": lambda f: f.signed(f.header, f.payload, secret=f.head["kid"].encode()),
    "embedded jwk": lambda f: f.with_head(jwk={"kty": "oct", "k": "AA"}),
    "jku": lambda f: f.with_head(jku="https://evil.example/keys"),
    "x5u": lambda f: f.with_head(x5u="https://evil.example/cert"),
    "x5c": lambda f: f.with_head(x5c=["AA"]),
    "crit": lambda f: f.with_head(crit=["exp"]),
    "b64 false": lambda f: f.with_head(b64=False, crit=["b64"]),
    "zip": lambda f: f.with_head(zip="DEF"),
    "cty": lambda f: f.with_head(cty="JWT"),
    "typ at+jwt": lambda f: f.with_head(typ="at+jwt"),
    "no typ": lambda f: f.with_raw_head(json.dumps({"alg": "HS256", "kid": f.head["kid"]})),
    "kid a path": lambda f: f.with_head(kid="../../../../dev/null"),
    "kid sql": lambda f: f.with_head(kid="' OR 1=1 --"),
    "kid unknown": lambda f: f.with_head(kid="0" * 16),
    "no kid": lambda f: f.with_raw_head('{"alg":"HS256","typ":"JWT"}'),
    "kid empty": lambda f: f.with_head(kid=""),
    "kid null": lambda f: f.with_head(kid=None),
    "header a list": lambda f: f.with_raw_head("[]"),
    "header not json": lambda f: f.with_raw_head("{"),
    "header in another order": lambda f: f.with_raw_head(json.dumps(dict(reversed(f.head.items())))),
    # Spellings.
    "padded": lambda f: f.token + "=",
    "padded signature": lambda f: f"{f.header}.{f.payload}.{f.signature}{'=' * (-len(f.signature) % 4)}",
    "spare bits": lambda f: f"{f.header}.{f.payload}.{f.spare_bits(f.signature)}",
    "standard alphabet": lambda f: f"{f.header}.{f.payload}.{f.signature[:-2]}+/",
    "line end": lambda f: f.token + "\n",
    "space before": lambda f: " " + f.token,
    "percent-encoded": lambda f: f.token.replace(".", "%2E"),
    "bearer twice": lambda f: "Bearer " + f.token,
    # Signatures.
    "signature cut": lambda f: f.token[:-4],
    "signature of another": lambda f: f"{f.header}.{f.payload}.{b64(hashlib.sha256(b'x').digest())}",
    "payload changed": lambda f: f"{f.header}.{b64(json.dumps({**f.claims, 'name': 'root'}).encode())}.{f.signature}",
    # Claims that this node would never sign, signed with its own key.
    "another issuer": lambda f: f.with_claims(iss="evil"),
    "no issuer": lambda f: f.with_claims(iss=...),
    "another audience": lambda f: f.with_claims(aud="elsewhere"),
    "a list of audiences": lambda f: f.with_claims(aud=[HOST, "elsewhere"]),
    "no audience": lambda f: f.with_claims(aud=...),
    "audience in capitals": lambda f: f.with_claims(aud=HOST.upper()),
    "for a login": lambda f: f.with_claims(use="login"),
    "from the future": lambda f: f.with_claims(iat=NOW + 3_600, exp=NOW + 7_200),
    "no exp": lambda f: f.with_claims(exp=...),
    "exp a text": lambda f: f.with_claims(exp="9999999999"),
    "exp infinite": lambda f: f.with_raw_claims(json.dumps({**f.claims, "exp": float("inf")})),
    "exp 1e999": lambda f: f.with_raw_claims(json.dumps(f.claims).replace(str(f.claims["exp"]), "1e999")),
    "exp nan": lambda f: f.with_raw_claims(json.dumps({**f.claims, "exp": float("nan")})),
    "exp true": lambda f: f.with_claims(exp=True),
    "exp before iat": lambda f: f.with_claims(iat=NOW, exp=NOW - 1),
    "unknown claim": lambda f: f.with_claims(admin=True),
    "a claim twice": lambda f: f.with_raw_claims(json.dumps(f.claims)[:-1] + ',"name":"root"}'),
    "unknown kind": lambda f: f.with_claims(kind="god"),
    "somebody who is not there": lambda f: f.with_claims(name="nobody"),
    "another's id": lambda f: f.with_claims(id="AIDAOTHER"),
    "an account that is not there": lambda f: f.with_claims(kind="root", account="999999999999"),
    "hangs on a key that is not there": lambda f: f.with_claims(origin="AKIANOTTHERE"),
    "claims a list": lambda f: f.with_raw_claims("[]"),
    "claims 10^4 deep": lambda f: f.with_raw_claims("[" * 4_000),
    "claims not utf-8": lambda f: f.signed(f.header, b64(b'{"iss":"\xff"}')),
}
assert len(FORGERIES) >= 60


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_token_is_refused_at_once(world: Any, forgery: Callable[[Forge], str]) -> None:
    """RELIABILITY A19, A20, G19: refused as Unauthorized, each within 5 ms."""
    user = await world.user("ci")
    good = world.tokens.issue_bearer(user, Credential(), HOST, PULL, NOW).text
    assert world.tokens.verify_bearer(good, HOST, NOW + 1).principal == user
    bad = forgery(Forge(good, world.keys))
    spent_s = []
    for _ in range(3):
        started = time.perf_counter()
        with pytest.raises(Unauthorized):
            world.tokens.verify_bearer(bad, HOST, NOW + 1)
        spent_s.append(time.perf_counter() - started)
    assert min(spent_s) < 0.005


async def test_the_forge_makes_good_tokens_when_it_changes_nothing(world: Any) -> None:
    """The table above refuses for the reason it names, not because the forge is broken."""
    user = await world.user("ci")
    forge = Forge(world.tokens.issue_bearer(user, Credential(), HOST, PULL, NOW).text, world.keys)
    assert forge.signed(forge.header, forge.payload) == forge.token
    for same in (forge.with_claims(), forge.with_raw_head(unb64(forge.header).decode())):
        assert world.tokens.verify_bearer(same, HOST, NOW).principal == user


def envelope(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda good: base64.b64encode(json.dumps({**good, **changes}, separators=(",", ":")).encode()).decode()


@pytest.mark.parametrize(
    "forge",
    [
        envelope(version="3"),
        envelope(type="OTHER"),
        envelope(datakey="0" * 16),
        envelope(datakey=None),
        envelope(expiration=9_999_999_999),
        envelope(expiration="soon"),
        envelope(payload=""),
        envelope(more=1),
        lambda good: base64.b64encode(json.dumps(good).encode()).decode(),
        lambda good: base64.b64encode(b"[]").decode(),
        lambda good: base64.b64encode(b"{").decode(),
        lambda good: good["payload"],
        lambda good: "",
        lambda good: "A" * 1_000_000,
        lambda good: "password",
    ],
)
async def test_a_changed_envelope_is_refused(world: Any, forge: Callable[[dict[str, Any]], str]) -> None:
    """The envelope is not signed, but there is one that fits what is."""
    _, _, password = await login(world)
    bad = forge(json.loads(base64.b64decode(password)))
    with pytest.raises(Unauthorized):
        verify(world, bad)


async def test_a_token_is_good_at_its_own_door_only(world: Any) -> None:
    """RELIABILITY A22: a login is no bearer, ecr is not ecr-public, and the other way round."""
    user, _, password = await login(world)
    bearer = world.tokens.issue_bearer(user, Credential(), "ecr", None, NOW).text
    with pytest.raises(Unauthorized):
        world.tokens.verify_login(password, ("ecr-public",), NOW)
    with pytest.raises(Unauthorized):
        world.tokens.verify_bearer(json.loads(base64.b64decode(password))["payload"], "ecr", NOW)
    with pytest.raises(Unauthorized):
        verify(world, base64.b64encode(bearer.encode()).decode())
    assert world.tokens.verify_login(password, ("ecr", "ecr-public"), NOW).principal == user


async def test_no_repr_shows_a_token(world: Any) -> None:
    """RELIABILITY G18."""
    user = await world.user("ci")
    issued = world.tokens.issue_bearer(user, Credential(), HOST, PULL, NOW)
    assert issued.text not in repr(issued)
