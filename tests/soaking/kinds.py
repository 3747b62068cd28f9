"""The kinds of work that a soak does at once."""

import math
import time
from typing import Final

from .client import Image, expect
from .soak import EXPIRING, KEPT, OURS, SIZES, Kind, Soak

IMAGES_MAX: Final = 60  # of our own, but for those of a policy: above it they are deleted
IMAGES_MIN: Final = 2
DELETED_EARLY: Final = 0.5  # the part of looks that takes an image though there is room
HOT: Final = 5  # cached images that half of the pulls are about


async def push(soak: Soak) -> int:
    image = soak.make((*OURS, *EXPIRING))
    soak.nightly.get(image.name, []).append(image)
    status, headers, body = await soak.client.push(image, pieces=soak.random.choice((1, 1, 3)))
    # Who takes longer than the grace time, on a machine that is too busy, is told to send the blobs again.
    if status == 404 and time.monotonic() - image.sent_at > soak.grace_s:
        soak.done["pushes slower than the grace time"] += 1
        return 0
    expect(status == 201, f"PUT {image.name}:{image.tag}", status, body)
    expect(headers["Docker-Content-Digest"] == image.digest, f"PUT {image.name}:{image.tag}", headers)
    soak.images.append(image)
    soak.settle()
    return 1


async def pull_own(soak: Soak) -> int:
    if not soak.images:
        return 0
    image = soak.random.choice(soak.images)
    found = await soak.client.pull(image, soak.random.choice((image.tag, image.digest)))
    expect(found or soak.may_be_gone(image), f"GET {image.name}:{image.tag}", 404)
    soak.done["pulls that met a deletion"] += not found
    return 1


async def pull_hot(soak: Soak) -> int:
    return await _pull_cached(soak, soak.random.choice(soak.upstream[:HOT]))


async def pull_cold(soak: Soak) -> int:
    return await _pull_cached(soak, soak.random.choice(soak.upstream[HOT:]))


async def _pull_cached(soak: Soak, image: Image) -> int:
    found = await soak.client.pull(image, soak.random.choice((image.tag, image.digest)))
    expect(found, f"GET {image.name}:{image.tag}", 404)
    return 1


async def pull_range(soak: Soak) -> int:
    image = soak.random.choice(soak.upstream)
    digest, blob = soak.random.choice(list(zip(image.digests, image.blobs, strict=True)))
    first, last = sorted(soak.random.randrange(len(blob)) for _ in range(2))
    path = f"/v2/{image.name}/blobs/{digest}"
    status, _, body = await soak.client.ask("GET", path, headers={"Range": f"bytes={first}-{last}"})
    expect(status == 206, f"GET {path} {first}-{last}", status, body)
    expect(body == blob[first : last + 1], f"GET {path} {first}-{last}", "other bytes")
    return 1


async def delete(soak: Soak) -> int:
    those = [image for image in soak.images if image.name in OURS and not image.is_leaving]
    if len(those) <= (IMAGES_MIN if soak.random.random() < DELETED_EARLY else IMAGES_MAX):
        return 0
    image = soak.random.choice(those)
    image.is_leaving = True
    path = f"/v2/{image.name}/manifests/"
    status, _, body = await soak.client.ask("DELETE", path + image.digest)
    expect(status == 202, f"DELETE {image.name}:{image.tag}", status, body)
    soak.images.remove(image)
    for reference in (image.tag, image.digest):
        status, _, body = await soak.client.ask("GET", path + reference)
        expect(status == 404, f"GET {image.name}:{image.tag} after its deletion", status, body)
    return 1


async def give_up(soak: Soak) -> int:
    """Push blobs that no manifest will ever name, to the end or not."""
    name, blob = soak.random.choice(OURS), soak.random.randbytes(soak.random.choice(SIZES))
    if soak.random.random() < 0.5:
        await soak.client.upload(name, blob)
        return 1
    place = await soak.client.send(await soak.client.begin(name), blob)
    status, _, body = await soak.client.ask("DELETE", place)
    expect(status == 204, "DELETE upload", status, body)
    return 1


async def expire(soak: Soak) -> int:
    """Run a policy: what goes has KEPT others behind it, and no more than KEPT of what was pushed before stay."""
    name = soak.random.choice(EXPIRING)
    before = [image for image in soak.nightly[name] if image.pushed_at < math.inf]
    soak.expiring[name] += 1
    try:
        ran = await soak.administrator.own("lifecycles", "expire", repository=name)
    finally:
        soak.expiring[name] -= 1
    gone = {one["imageDigest"] for one in ran["images"]}
    soak.expired |= gone
    soak.done["images expired"] += len(gone)
    for image in (image for image in soak.nightly[name] if image.digest in gone):
        behind = sum(other.pushed_at >= image.sent_at for other in soak.nightly[name] if other is not image)
        expect(behind >= KEPT, f"expire {name}:{image.tag}", behind, "are younger")
    left = [image for image in before if image.digest not in soak.expired]
    if not ran["left"] and not ran["waiting"]:
        expect(len(left) <= KEPT, f"expire {name}", len(left), "are left")
    soak.settle()
    return 1


async def collect(soak: Soak) -> int:
    gone = await soak.administrator.own("collection", "collect")
    soak.done["blobs collected"] += gone["blobs"]
    return 1


KINDS: Final = (
    Kind("pushes", push, workers=6),
    Kind("pulls of our own", pull_own, workers=3, pause_s=0.03),
    Kind("pulls of cached images, warm", pull_hot, workers=2, pause_s=0.03),
    Kind("pulls of cached images, cold", pull_cold, workers=3),
    Kind("ranges of cached blobs", pull_range, pause_s=0.03),
    Kind("deletions", delete, workers=2, pause_s=0.2),
    Kind("pushes given up", give_up, pause_s=0.05),
    Kind("runs of lifecycle policies", expire, pause_s=0.3),
    Kind("collections", collect, pause_s=0.2),
)
