"""Lifecycle policies by the API: put, read, delete, and preview.

Source: ECR API reference; ECR.md 2.3, "Operations".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mirror.registry.image_ids import ImageId
from mirror.registry.lifecycles import Lifecycles
from mirror.rules.lifecycle import Action, results, summary
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.image_ids import read_image_ids
from mirror.web.ecr.paging import make_token, page_size, read_number, read_token
from mirror.web.ecr.subjects import Subjects

PREVIEW_PAGE: Final = 100


class Lifecycle:
    """The handlers of the five operations on lifecycle policies."""

    def __init__(self, subjects: Subjects, lifecycles: Lifecycles) -> None:
        self._subjects = subjects
        self._lifecycles = lifecycles

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "PutLifecyclePolicy"): self.put_lifecycle_policy,
            ("ecr", "GetLifecyclePolicy"): self.get_lifecycle_policy,
            ("ecr", "DeleteLifecyclePolicy"): self.delete_lifecycle_policy,
            ("ecr", "StartLifecyclePolicyPreview"): self.start_lifecycle_policy_preview,
            ("ecr", "GetLifecyclePolicyPreview"): self.get_lifecycle_policy_preview,
        }

    async def put_lifecycle_policy(self, call: Call) -> dict[str, Any]:
        """Set the policy; the echo has no white space."""
        subject = self._subjects.of(call)
        text = await self._lifecycles.put(subject.repository, call.input["lifecyclePolicyText"])
        return {**subject.shape, "lifecyclePolicyText": text}

    async def get_lifecycle_policy(self, call: Call) -> dict[str, Any]:
        """Give the policy, and when it was run last; nothing of that before its first run."""
        subject = self._subjects.of(call)
        text = await self._lifecycles.get(subject.repository)
        evaluated_at = await self._lifecycles.evaluated_at(subject.repository)
        return {**subject.shape, "lifecyclePolicyText": text, "lastEvaluatedAt": evaluated_at}

    async def delete_lifecycle_policy(self, call: Call) -> dict[str, Any]:
        """Delete the policy, and give it one last time."""
        subject = self._subjects.of(call)
        evaluated_at = await self._lifecycles.evaluated_at(subject.repository)
        text = await self._lifecycles.delete(subject.repository)
        return {**subject.shape, "lifecyclePolicyText": text, "lastEvaluatedAt": evaluated_at}

    async def start_lifecycle_policy_preview(self, call: Call) -> dict[str, Any]:
        """Begin to compute what a policy would do; the echo is the text as it was sent."""
        subject = self._subjects.of(call)
        preview = await self._lifecycles.start_preview(subject.repository, call.input.get("lifecyclePolicyText"))
        return {**subject.shape, "lifecyclePolicyText": preview.text, "status": "IN_PROGRESS"}

    async def get_lifecycle_policy_preview(self, call: Call) -> dict[str, Any]:
        """Tell how far the preview is, and what it found."""
        subject = self._subjects.of(call)
        preview = self._lifecycles.preview(subject.repository)
        shape = {**subject.shape, "lifecyclePolicyText": preview.text, "status": preview.status}
        if preview.status != "COMPLETE":
            return shape
        chosen = _chosen(preview.actions, call)
        if "imageIds" in call.input:
            return {**shape, "previewResults": results(chosen), "summary": summary(preview.actions)}
        start = read_number(read_token(call))
        end = start + page_size(call, PREVIEW_PAGE)
        token = make_token(call, [end]) if end < len(chosen) else None
        page = results(chosen[start:end])
        return {**shape, "previewResults": page, "summary": summary(preview.actions), "nextToken": token}


def _chosen(actions: Sequence[Action], call: Call) -> list[Action]:
    """Return the actions on the images that are asked for, and of the tag status that is."""
    status = call.input.get("filter", {}).get("tagStatus", "ANY")
    found = [one for one in actions if status in ("ANY", "TAGGED" if one.image.tags else "UNTAGGED")]
    if "imageIds" not in call.input:
        return found
    asked = read_image_ids(call.input["imageIds"])
    return [one for one in found if any(_is_meant(wanted, one) for wanted in asked)]


def _is_meant(wanted: ImageId, action: Action) -> bool:
    image = action.image
    right_digest = wanted.digest in ("", image.digest)
    return right_digest and (wanted.tag in image.tags if wanted.tag else bool(wanted.digest))
