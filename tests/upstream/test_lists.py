"""Tags and referrers: all pages, within limits, from one place."""

from collections.abc import Callable

import orjson
import pytest
from standin import Bearer, Fault, Standin
from yarl import URL

from mirror.oci.digest import parse_digest
from mirror.oci.errors import NameUnknown, UpstreamError
from mirror.rules.freshness import Need
from mirror.upstream import Upstream
from mirror.upstream.limits import LIST_PAGES_MAX, TAGS_MAX
from mirror.upstream.pages import next_page, read_referrers, read_tags

NAME = "library/app"


@pytest.mark.parametrize("page", [0, 1, 3])
async def test_all_pages_of_tags_are_read(upstream: Upstream, standin: Standin, page: int) -> None:
    wanted = [f"v{number}" for number in range(7)]
    for tag in wanted:
        standin.add_image(NAME, tag)
    standin.tags_per_page = page
    assert await upstream.tags(NAME, Need.TAG) == wanted
    assert standin.asked("tags")[0].target == f"/v2/{NAME}/tags/list?n=1000"


async def test_repositories_are_listed(upstream: Upstream, standin: Standin) -> None:
    """Distribution's `/v2/_catalog`; what is no name cannot be asked for, and is left out."""
    for name in ("team/app", "library/app", "Not A Name"):
        standin.tags[name] = {}
    assert await upstream.catalog(Need.REVALIDATION) == ["library/app", "team/app"]
    assert standin.asked("catalog")[0].target == "/v2/_catalog?n=1000"


async def test_a_token_for_the_list_of_repositories_has_a_scope_of_its_own(
    upstream: Upstream, standin: Standin
) -> None:
    """Token specification, "Requesting a Token": `registry:catalog:*`."""
    standin.bearer = Bearer()
    standin.tags["team/app"] = {}
    assert await upstream.catalog(Need.REVALIDATION) == ["team/app"]


async def test_an_upstream_that_does_not_list_its_repositories_says_so(upstream: Upstream, standin: Standin) -> None:
    """Few public registries let anybody list: no empty list in place of that."""
    standin.lists_repositories = False
    with pytest.raises(UpstreamError, match="has no list of repositories"):
        await upstream.catalog(Need.REVALIDATION)


async def test_an_unknown_repository_is_name_unknown(upstream: Upstream) -> None:
    with pytest.raises(NameUnknown):
        await upstream.tags("none", Need.TAG)


async def test_pages_without_end_are_left(upstream: Upstream, standin: Standin) -> None:
    """RELIABILITY A1, seen from the client's side."""
    standin.tags[NAME] = {"v1": ""}
    standin.fault = Fault(headers={"Link": f'</v2/{NAME}/tags/list?again>; rel="next"'})
    with pytest.raises(UpstreamError, match="pages"):
        await upstream.tags(NAME, Need.TAG)
    assert standin.count("tags") == LIST_PAGES_MAX


async def test_a_next_page_elsewhere_is_not_fetched(
    upstream: Upstream, standin: Standin, content_network: Standin
) -> None:
    """RELIABILITY A17: Link is the upstream's word like any redirect."""
    standin.tags[NAME] = {"v1": ""}
    standin.fault = Fault(headers={"Link": f'<{content_network.url}/v2/{NAME}/tags/list>; rel="next"'})
    with pytest.raises(UpstreamError, match="another place"):
        await upstream.tags(NAME, Need.TAG)
    assert content_network.seen == []


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ('</v2/a/tags/list?last=b&n=2>; rel="next"', "http://r.test/v2/a/tags/list?last=b&n=2"),
        ("<?last=%2B>; rel=next", "http://r.test/v2/a/tags/list?last=%2B"),
        ('<http://r.test/x>; title="y"; rel="next"; a=b', "http://r.test/x"),
        ('</a>; rel="prev", </b>; rel="next"', "http://r.test/b"),
        ('</a>; rel="prev"', None),
        ("", None),
    ],
)
def test_links_are_read_as_rfc_8288_writes_them(link: str, page: str | None) -> None:
    found = next_page([link], URL("http://r.test/v2/a/tags/list"))
    assert (found and str(found)) == page


def test_what_is_no_tag_is_left_out() -> None:
    assert read_tags([b'{"tags": ["v1", "../x", "", "a b", "v1", "v2"]}', b'{"tags": null}', b"{}"]) == ["v1", "v2"]


@pytest.mark.parametrize("page", [b"[]", b"no", b'{"tags": [1]}', b'{"tags": "v1"}', b"\xff"])
def test_what_is_no_list_is_an_error(page: bytes) -> None:
    with pytest.raises(UpstreamError):
        read_tags([page])


def test_more_tags_than_the_limit_are_an_error() -> None:
    page = orjson.dumps({"tags": [f"v{number}" for number in range(TAGS_MAX + 1)]})
    with pytest.raises(UpstreamError, match="more than"):
        read_tags([page])


async def test_referrers_come_as_upstreams_own_index(upstream: Upstream, standin: Standin) -> None:
    image = standin.add_image(NAME, "v1")
    sbom = standin.add_referrer(image)
    found = await upstream.referrers(NAME, parse_digest(image.digest), Need.TAG)
    assert found is not None
    assert [entry["digest"] for entry in orjson.loads(found)["manifests"]] == [sbom]


async def test_no_referrers_api_is_none(upstream: Upstream, standin: Standin) -> None:
    image = standin.add_image(NAME, "v1")
    standin.referrers_api = False
    assert await upstream.referrers(NAME, parse_digest(image.digest), Need.TAG) is None


def test_pages_of_referrers_become_one_index() -> None:
    pages = [b'{"schemaVersion":2,"manifests":[{"a":1}]}', b'{"schemaVersion":2,"manifests":[{"b":2}]}']
    assert orjson.loads(read_referrers(pages)) == {"schemaVersion": 2, "manifests": [{"a": 1}, {"b": 2}]}
    assert read_referrers(pages[:1]) == pages[0]


@pytest.mark.parametrize("page", [b"[]", b"no", b'{"manifests": 1}'])
async def test_what_is_no_index_is_an_error(page: bytes) -> None:
    with pytest.raises(UpstreamError):
        read_referrers([page])


async def test_an_html_page_is_no_list(connect: Callable[..., Upstream], standin: Standin) -> None:
    standin.fault = Fault(html=True)
    upstream, image = connect(standin), standin.add_image(NAME, "v1")
    with pytest.raises(UpstreamError):
        await upstream.tags(NAME, Need.TAG)
    with pytest.raises(UpstreamError):
        await upstream.referrers(NAME, parse_digest(image.digest), Need.TAG)
