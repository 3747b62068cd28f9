"""RELIABILITY A17: which token endpoints see our credential."""

import pytest
from yarl import URL

from mirror.upstream.realm import is_trusted_realm


@pytest.mark.parametrize(
    ("upstream", "realm"),
    [
        ("https://registry-1.docker.io", "https://auth.docker.io/token"),
        ("https://ghcr.io", "https://ghcr.io/token"),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("https://r.example.co.uk", "https://auth.example.co.uk/t"),
        ("https://me.azurecr.io", "https://me.azurecr.io/oauth2/token"),
        ("https://r.example.com:5000", "https://r.example.com:5001/token"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
        ("http://localhost:5000", "http://localhost:5001/token"),
        ("http://r.example.com", "https://auth.example.com/token"),
    ],
)
def test_a_realm_of_the_same_owner_is_trusted(upstream: str, realm: str) -> None:
    assert is_trusted_realm(URL(realm), URL(upstream))


@pytest.mark.parametrize(
    ("upstream", "realm"),
    [
        ("https://registry-1.docker.io", "https://auth.docker.io.evil.example/token"),
        ("https://registry-1.docker.io", "https://evildocker.io/token"),
        ("https://registry-1.docker.io", "http://auth.docker.io/token"),
        ("https://registry-1.docker.io", "https://auth.docker.io./token"),
        ("https://registry-1.docker.io", "https://user@auth.docker.io/token"),
        ("https://registry-1.docker.io", "https://:word@auth.docker.io/token"),
        ("https://registry-1.docker.io", "ftp://auth.docker.io/token"),
        ("https://registry-1.docker.io", "file:///etc/passwd"),
        ("https://me.azurecr.io", "https://other.azurecr.io/oauth2/token"),
        ("https://r.example.co.uk", "https://auth.evil.co.uk/t"),
        ("https://co.uk", "https://evil.co.uk/t"),
        ("http://127.0.0.1:5000", "http://127.0.0.2:5000/token"),
        ("http://10.1.0.1", "http://10.2.0.1/token"),
        ("http://127.0.0.1", "http://[::ffff:127.0.0.1]/token"),
        ("http://[::1]:5000", "http://[::2]:5000/token"),
        ("http://registry:5000", "http://auth:5000/token"),
        ("https://r.exämple.com", "https://auth.example.com/"),
    ],
)
def test_a_realm_of_somebody_else_is_not(upstream: str, realm: str) -> None:
    assert not is_trusted_realm(URL(realm), URL(upstream))
