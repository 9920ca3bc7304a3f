"""Scrape: what one gateway process counted, and its present state, as Prometheus text."""

from __future__ import annotations

from inferry.gateway.core import Core
from inferry.telemetry.metrics import Labels


def scrape(core: Core, own: Labels = ()) -> str:
    """The text. `own`: labels that tell its samples from those of other gateways."""
    metrics = core.metrics
    metrics.gauges.clear()
    for endpoint in core.endpoints.values():
        labels = (("endpoint", endpoint.plan.name),)
        links = [link for revision in endpoint.revisions for link in revision.links]
        metrics.gauges["inferry_replicas_ready", labels] = sum(link.ready for link in links)
        metrics.gauges["inferry_requests_in_flight", labels] = sum(len(link.inflight) for link in links)
        metrics.gauges["inferry_requests_held", labels] = len(endpoint.held)
    metrics.totals = {"inferry_requests_moved_total": core.moved}
    if core.captures is not None:
        metrics.totals |= {
            "inferry_captures_total": core.captures.taken,
            "inferry_captures_dropped_total": core.captures.dropped,
            "inferry_captured_inputs_total": core.captures.inputs,
            "inferry_captured_inputs_dropped_total": core.captures.inputs_dropped,
        }
    return metrics.render(own)
