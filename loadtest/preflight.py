"""Asked once before any load: does a search work, and is what would be written to nothing that anybody needs?"""

import json
import urllib.error
import urllib.request
from typing import Any, Final

from loadtest.options import Plan, credentials
from loadtest.scenarios.writing import ID_PREFIX
from loadtest.shapes import LoadRefused

_TIMEOUT_S: Final = 10.0
_SAMPLE: Final = 50


def check_collections(host: str, plan: Plan) -> None:
    """Searches both collections once.

    Raises:
        LoadRefused: a search fails, nothing is found where searches go, or the collection that would be written to is
            the one that is searched, or holds an item that no load test wrote.
    """
    searched = _search(host, plan.collection, limit=1)
    if not searched["hits"]:
        raise LoadRefused(f"The collection {plan.collection} of {host} has no products to find.")
    if plan.scratch is None:
        return
    scratch = _search(host, plan.scratch, limit=_SAMPLE)
    if scratch["collection"] == searched["collection"]:
        raise LoadRefused(f"{plan.scratch} and {plan.collection} are the same collection; nothing is written to it.")
    foreign = [hit["id"] for hit in scratch["hits"] if not hit["id"].startswith(ID_PREFIX)]
    if foreign:
        raise LoadRefused(
            f"{plan.scratch} holds items that no load test wrote, such as {foreign[0]!r}; leave it alone."
        )


def _search(host: str, collection: str, limit: int) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - http or https, checked with the host
        f"{host}/v1/collections/{collection}/search",
        data=json.dumps({"query": "dress", "limit": limit}).encode(),
        headers={"Content-Type": "application/json", **credentials()},
    )
    # Proxies of the environment would be what is measured.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            content: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise LoadRefused(f"A search of {collection} is answered {error.code} by {host}.") from error
    except (OSError, ValueError) as error:
        raise LoadRefused(f"A search of {collection} at {host} fails: {error}.") from error
    return content
