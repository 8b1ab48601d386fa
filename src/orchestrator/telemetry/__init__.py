"""Telemetry: metrics for Prometheus, traces for OpenTelemetry, and request ids."""
