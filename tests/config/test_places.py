"""Lines of keys: right where they can be seen, the table's where they cannot."""

from mirror.config.places import places

TEXT = '''# a comment
[server]
listen = [
  "127.0.0.1:5000",
]
"public_url" = ""   # quoted
tls.certificate = "x"

[[upstream]] # first
name = """
[storage]
root = "not a key"
"""
url = 'https://x'
[[upstream]]
name = "b"
[upstream.more]
x = 1
'''


def test_each_key_has_its_line() -> None:
    """Issue, section 2: every fault with its place."""
    assert places(TEXT) == {
        "server": 2,
        "server.listen": 3,
        "server.public_url": 6,
        "server.tls.certificate": 7,
        "upstream[0]": 9,
        "upstream[0].name": 10,
        "upstream[0].url": 14,
        "upstream[1]": 15,
        "upstream[1].name": 16,
        "upstream[1].more": 17,
        "upstream[1].more.x": 18,
    }
