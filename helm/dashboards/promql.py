"""PromQL, put together. Every function returns an expression.

Series are narrowed by the dashboard's variables. A series without a namespace, as outside Kubernetes, stays in: the
value of "All" is `.*`, which also matches what is missing.
"""

from typing import Final

WINDOW: Final = "$__rate_interval"
"""At least four scrapes, chosen by Grafana from the width of the panel and the data source's scrape interval."""
SEARCH_ROUTES: Final = 'route=~"/v1/(collections/.+/search(/image)?|multi_search)"'
"""As the recording rules have it."""
_IN_NAMESPACE: Final = 'namespace=~"$namespace"'
_OF_INSTANCE: Final = 'instance=~"$instance"'


def series(metric: str, *matchers: str, everywhere: bool = False) -> str:
    """A metric of the chosen namespace, and of the chosen instances unless `everywhere`."""
    chosen = (_IN_NAMESPACE,) if everywhere else (_IN_NAMESPACE, _OF_INSTANCE)
    return f"{metric}{{{', '.join((*matchers, *chosen))}}}"


def rate(selector: str, by: str = "", window: str = WINDOW) -> str:
    """Increase a second of counters, summed by labels."""
    return summed(f"rate({selector}[{window}])", by)


def summed(expression: str, by: str = "") -> str:
    """A sum by labels, "a, b"."""
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def mean(total: str, count: str, by: str = "") -> str:
    """What one event of a counter pair took; nothing (NaN) while there are no events."""
    return f"{rate(total, by)} / {rate(count, by)}"


def quantile(share: float, buckets: str, by: str = "", window: str = WINDOW) -> str:
    """A quantile of a histogram, estimated within its buckets."""
    return f"histogram_quantile({share}, {rate(buckets, f'le, {by}' if by else 'le', window)})"


def ratio(part: str, whole: str) -> str:
    """A share of events; 0 while there is no series of the part, because nothing of that sort ever happened.

    Without series of the whole there is no result: a missing source never looks like a good one.
    """
    return f"(({part}) or 0 * ({whole})) / ({whole})"


def or_zero(part: str, whole: str) -> str:
    """A rate; 0 while it has no series and the whole has."""
    return f"({part}) or 0 * ({whole})"


def of_process(metric: str, proof: str) -> str:
    """A metric that every process has, of those which also have `proof`."""
    return f"{metric}{{{_IN_NAMESPACE}, {_OF_INSTANCE}}} and on (namespace, instance) {proof}"
