"""Traces for OpenTelemetry: spans of requests, and of tasks from the facts about them (ADR 94)."""
