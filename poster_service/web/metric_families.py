"""Families of metrics for /metrics, each from its values of now."""

from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def gauge(name: str, about: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, about, value)


def counter(name: str, about: str, value: float) -> Metric:
    """A counter without labels; its sample's name ends in _total."""
    return CounterMetricFamily(name, about, value)


def counters(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    """A counter with one label."""
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def labelled(name: str, about: str, label: str, values: dict[str, Any]) -> Metric:
    """A gauge with one label."""
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
