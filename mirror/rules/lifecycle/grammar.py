"""Reading lifecycle policies: strict, with ECR's own texts for every fault.

Source: ECR guide, "Lifecycle policy template" and "Lifecycle policy evaluation rules"; ECR.md 2.3. The length of the
text is the API model's concern. Pure.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, cast, get_args

from mirror.rules.lifecycle.policy import (
    ActionType,
    CountType,
    LifecyclePolicy,
    Rule,
    Selection,
    StorageClass,
    TagStatus,
)
from mirror.rules.lifecycle.schema import NO_SCHEMA, array, choice, fault, integer, members, text

RULES_MAX: Final = 50  # ECR quota
STARS_MAX: Final = 4  # ECR guide: "a maximum limit of four wildcards (*) per string"
COUNT_MEMBERS: Final = ("countNumber", "countType", "tagStatus")
COUNT_OPTIONS: Final = ("countUnit", "storageClass", "tagPatternList", "tagPrefixList")


class Meaning(NamedTuple):
    """What a count type may be combined with; its number's unit and least value."""

    unit: str
    storage_class: StorageClass
    actions: tuple[ActionType, ...]
    minimum: int = 1


COUNT_TYPES: Final[Mapping[str, Meaning]] = {
    "imageCountMoreThan": Meaning("", "standard", ("expire", "transition")),
    "sinceImagePushed": Meaning("days", "standard", ("expire", "transition")),
    "sinceImagePulled": Meaning("days", "standard", ("transition",)),
    # Archived images are billed for 90 days at least: ECR refuses to expire them earlier.
    "sinceImageTransitioned": Meaning("days", "archive", ("expire",), minimum=90),
}


def parse_lifecycle(policy: str) -> LifecyclePolicy:
    """Read a policy text; its rules come lowest priority number first. Raises InvalidParameter with ECR's text."""
    body = members(_read(policy), ("rules",))
    rules = [_rule(value) for value in array(body["rules"], RULES_MAX)]
    _check_priorities(rules)
    for storage_class in get_args(StorageClass):
        _check_class([rule for rule in rules if rule.selection.storage_class == storage_class])
    return LifecyclePolicy(tuple(sorted(rules, key=lambda rule: rule.priority)))


def compact(policy: str) -> str:
    """Write a good policy text as PutLifecyclePolicy echoes it: no white space, keys in the order they were sent."""
    return json.dumps(_read(policy), ensure_ascii=False, separators=(",", ":"))


def _read(policy: str) -> dict[str, Any]:
    try:
        body = json.loads(policy, object_pairs_hook=_unique, parse_constant=_no_constant)
        policy_bytes = json.dumps(
            body, ensure_ascii=False
        ).encode()  # half a surrogate pair fails here, not in the answer
    except (ValueError, RecursionError):
        body, policy_bytes = None, b""
    if not policy_bytes or not isinstance(body, dict):
        raise fault("Could not map policyString into LifecyclePolicy.")
    return body


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _rule(value: object) -> Rule:
    rule = members(value, ("action", "rulePriority", "selection"), ("description",))
    priority = integer(rule["rulePriority"])
    description = text(rule["description"]) if "description" in rule else ""
    selection = _selection(rule["selection"])
    action = _action(rule["action"])
    meaning = COUNT_TYPES[selection.count_type]
    if selection.storage_class != meaning.storage_class:
        raise fault(f"countType={selection.count_type} requires storageClass={meaning.storage_class}.")
    if action not in meaning.actions:
        raise fault(f"countType={selection.count_type} requires action type={meaning.actions[0]}.")
    return Rule(priority, selection, action, description)


def _selection(value: object) -> Selection:
    found = members(value, COUNT_MEMBERS, COUNT_OPTIONS)
    tag_status = choice(found["tagStatus"], get_args(TagStatus))
    storage_class = choice(found.get("storageClass", "standard"), get_args(StorageClass))
    count_type = text(found["countType"])
    unit = choice(found["countUnit"], ("days",)) if "countUnit" in found else ""
    meaning = COUNT_TYPES.get(count_type)
    if meaning is None or unit != meaning.unit:
        raise fault(NO_SCHEMA)
    selection = Selection(
        tag_status=cast("TagStatus", tag_status),
        count_type=cast("CountType", count_type),
        count_number=integer(found["countNumber"], meaning.minimum),
        storage_class=cast("StorageClass", storage_class),
        prefixes=_strings(found, "tagPrefixList"),
        patterns=_strings(found, "tagPatternList"),
    )
    _check_lists(selection)
    return selection


def _strings(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    if key not in found:
        return ()
    strings = tuple(text(value) for value in array(found[key]))
    if "" in strings:
        raise fault('string "" is too short (length: 0, required minimum: 1)')
    for string in strings:
        if string.count("*") > STARS_MAX:
            raise fault(f"{key} allows at most {STARS_MAX} wildcards (*) per string.")
    return strings


def _check_lists(selection: Selection) -> None:
    if selection.tag_status == "tagged":
        if not selection.globs:
            raise fault("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")
        if selection.prefixes and selection.patterns:
            raise fault("Cannot specify both tagPrefixList and tagPatternList.")
    elif selection.globs:
        raise fault("Can only specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")


def _action(value: object) -> ActionType:
    found = members(value, ("type",), ("targetStorageClass",))
    kind = choice(found["type"], get_args(ActionType))
    has_target = "targetStorageClass" in found
    # Seen of ECR: a target beside "expire", even null, fails as "0 out of 2".
    if has_target != (kind == "transition"):
        raise fault(NO_SCHEMA)
    if has_target:
        choice(found["targetStorageClass"], ("archive",))
    return cast("ActionType", kind)


def _check_priorities(rules: Sequence[Rule]) -> None:
    seen: set[int] = set()
    for rule in rules:
        if rule.priority in seen:
            raise fault(f"Rule priorities must be unique: {rule.priority} stands twice.")
        seen.add(rule.priority)


def _check_class(rules: Sequence[Rule]) -> None:
    """Check what the rules of one storage class may not be together."""
    statuses = [rule.selection.tag_status for rule in rules]
    if statuses.count("untagged") > 1:
        raise fault("Only one rule can select Untagged images per storage class.")
    if statuses.count("any") > 1:
        raise fault("Only one rule can select Any images per storage class.")
    last = max((rule.priority for rule in rules), default=0)
    if any(rule.selection.tag_status == "any" and rule.priority != last for rule in rules):
        raise fault("Rule for tagStatus=ANY must have the lowest priority per storage class")
    lists = [frozenset(rule.selection.globs) for rule in rules if rule.selection.globs]
    if len(set(lists)) != len(lists):
        raise fault("Rules must have different sets of tagPrefixList or tagPatternList per storage class.")
