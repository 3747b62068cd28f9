"""What a node's /metrics says, read as Prometheus' text format."""

from prometheus_client.parser import text_string_to_metric_families


class Metrics:
    """The samples of one page."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """Add the samples of a name that have these labels; 0.0 where there are none."""
        wanted = labels.items()
        return sum(one.value for one in self._samples if one.name == name and wanted <= one.labels.items())

    def quantile(self, name: str, share: float) -> float | None:
        """Return the bound of the bucket in which a share of a histogram ends; None where there is no histogram."""
        buckets = sorted((float(one.labels["le"]), one.value) for one in self._samples if one.name == f"{name}_bucket")
        if not buckets:
            return None
        return next(bound for bound, count in buckets if count >= share * buckets[-1][1])
