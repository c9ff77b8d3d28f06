"""What a running Prometheus says of its targets, its recording rules and its alerts."""

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import httpx

STEP_S: Final = 0.5
_TELLING: Final = ("burn", "case", "dependency", "model")
"""Labels that tell alerts of one name apart."""


def identity(labels: Mapping[str, str]) -> str:
    """Name and what tells it apart, as in "SearchErrorBudgetBurn 14.4" or "DependencyDown all triton"."""
    return " ".join([labels["alertname"], *(labels[name] for name in _TELLING if name in labels)])


class Watching:
    """Asks a Prometheus, each time for 10 s at most.

    Args:
        url: of its API.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=10)

    def targets(self) -> dict[str, str]:
        """Health of what is scraped, by job."""
        found = self._asked("/api/v1/targets", state="active")["activeTargets"]
        return {one["labels"]["job"]: one["health"] for one in found}

    def rules(self) -> dict[str, str]:
        """Every rule's health, by file and name."""
        groups = self._asked("/api/v1/rules")["groups"]
        return {f"{group['file']}: {rule['name']}": rule["health"] for group in groups for rule in group["rules"]}

    def recorded(self) -> set[str]:
        """Names of recording rules that have a value now that is a number."""
        found = self._asked("/api/v1/query", query='{__name__=~"vitrine:.+"}')["result"]
        return {one["metric"]["__name__"] for one in found if math.isfinite(float(one["value"][1]))}

    def seen(self, state: str, since: float) -> set[str]:
        """Identities of alerts that were pending, or firing, at any time since then (Unix s)."""
        found = self._asked(
            "/api/v1/query_range",
            query=f'ALERTS{{alertstate="{state}"}}',
            start=str(since),
            end=str(time.time()),
            step=str(STEP_S),
        )["result"]
        return {identity(one["metric"]) for one in found}

    def active(self, but: Iterable[str] = ()) -> set[str]:
        """Identities of alerts that are pending or firing now, without those of some names."""
        alerts = self._asked("/api/v1/alerts")["alerts"]
        return {identity(one["labels"]) for one in alerts} - set(but)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, path: str, **parameters: str) -> dict[str, Any]:
        response = self._http.get(path, params=parameters)
        assert response.is_success, response.text
        return dict(response.json()["data"])
