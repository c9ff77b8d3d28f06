"""Makes the Grafana dashboards of the chart: `python -m helm.dashboards [FOLDER]`.

`panels` has the kinds of panels, `dashboard` lays them out and writes Grafana's JSON, `promql` writes queries; the
other modules say what is on one dashboard each.
"""
