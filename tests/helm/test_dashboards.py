"""The dashboards as Grafana's sidecar finds them."""

import json
from typing import Any

from tests.helm.rendering import ROOT, Rendered, render

FOLDER = ROOT / "helm" / "vitrine" / "monitoring" / "dashboards"
ON = "--set=monitoring.dashboards.enabled=true"
RUNBOOKS = "https://runbooks.example/vitrine"


def _dashboards(rendered: Rendered) -> dict[str, Any]:
    """By uid, from whatever the sidecar would select."""
    found = [one for one in rendered.of("ConfigMap") if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    documents = [json.loads(text) for one in found for text in one["data"].values()]
    return {one["uid"]: one for one in documents}


def _links(dashboard: dict[str, Any]) -> set[str]:
    panels = [panel for top in dashboard["panels"] for panel in (top, *top.get("panels", ()))]
    return {link["url"] for panel in panels for link in panel.get("links", ())}


def test_there_are_none_unless_they_are_wanted() -> None:
    assert not _dashboards(render("minimal"))


def test_every_dashboard_is_there_as_it_was_made_but_for_where_runbooks_are() -> None:
    rendered = _dashboards(render("minimal", ON, f"--set=monitoring.runbooksUrl={RUNBOOKS}/"))
    for path in FOLDER.glob("*.json"):
        made = json.loads(path.read_text())
        variables = {one["name"]: one for one in made["templating"]["list"]}
        variables["runbooks"] |= {"query": RUNBOOKS, "current": {"text": RUNBOOKS, "value": RUNBOOKS}}
        assert rendered.pop(path.stem) == made
    assert not rendered


def test_without_a_place_for_runbooks_no_panel_links_to_one() -> None:
    for path in FOLDER.glob("*.json"):
        assert _links(json.loads(path.read_text()))
    for dashboard in _dashboards(render("minimal", ON)).values():
        assert not _links(dashboard)


def test_folder_and_labels_are_the_operators_to_say() -> None:
    more = (
        '--set-json=monitoring.dashboards.labels={"dash":"yes"}',
        '--set-json=monitoring.dashboards.annotations={"grafana_folder":"Search"}',
    )
    found = [one for one in render("minimal", ON, *more).of("ConfigMap") if "dashboard-" in one["metadata"]["name"]]
    assert len(found) == len(list(FOLDER.glob("*.json")))
    for one in found:
        assert one["metadata"]["labels"]["dash"] == "yes"
        assert one["metadata"]["annotations"] == {"grafana_folder": "Search"}


def test_a_dashboard_fits_into_what_kubectl_writes_beside_it() -> None:
    """`kubectl apply` keeps the whole object in an annotation, of which there can be 256 KiB."""
    for one in render("minimal", ON).of("ConfigMap"):
        assert len(json.dumps(one)) < 200_000
