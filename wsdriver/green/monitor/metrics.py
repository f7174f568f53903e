"""The figures in Prometheus' text format, through prometheus-client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsdriver.exceptions import HandshakeError

__all__ = ["serialize_metrics"]

_GAUGES = {
    "open": ("wsdriver_websockets_open", "WebSockets that are open."),
    "event_streams": ("wsdriver_event_streams_open", "Event streams that are open."),
    "buffered": ("wsdriver_buffered_bytes", "Bytes that wait for slow peers."),
}
_COUNTERS = {
    "total": ("wsdriver_websockets", "WebSockets that have been opened."),
    "messages_received": ("wsdriver_messages_received", "Messages that handlers have taken."),
    "messages_sent": ("wsdriver_messages_sent", "Messages that handlers have sent."),
    "bytes_received": ("wsdriver_received_bytes", "Bytes received, on the wire, without TLS."),
    "bytes_sent": ("wsdriver_sent_bytes", "Bytes sent, on the wire, without TLS."),
}
_QUANTILES = {"p50": "0.5", "p90": "0.9", "max": "1"}


def serialize_metrics(figures: dict[str, Any], accept: str) -> tuple[str, str]:
    """Return the content type and the text that suit an Accept header.

    Raises:
        HandshakeError: 501: prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, core, exposition
    except ImportError as error:
        raise HandshakeError(
            f"this form needs a package ({error}); install it with: pip install 'wsdriver[monitor]'", 501
        ) from error

    pid = str(figures["process"]["pid"])

    class Collector:
        def collect(self) -> Iterator[Any]:
            for name, (metric, text) in _GAUGES.items():
                gauge = core.GaugeMetricFamily(metric, text, labels=["pid"])
                gauge.add_metric([pid], figures[name])
                yield gauge
            for name, (metric, text) in _COUNTERS.items():
                counter = core.CounterMetricFamily(metric, text, labels=["pid"])
                counter.add_metric([pid], figures[name])
                yield counter
            closes = core.CounterMetricFamily(
                "wsdriver_closes", "WebSockets that have ended, by close code.", labels=["pid", "code"]
            )
            for code, count in figures["closes"].items():
                closes.add_metric([pid, code], count)
            yield closes
            latency = core.GaugeMetricFamily(
                "wsdriver_latency_seconds",
                "The last ping of each open WebSocket and its answer.",
                labels=["pid", "quantile"],
            )
            for name, quantile in _QUANTILES.items():
                if figures["latency"][name] is not None:
                    latency.add_metric([pid, quantile], figures["latency"][name])
            yield latency

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    encode, content_type = exposition.choose_encoder(accept)
    return content_type, encode(registry).decode()
