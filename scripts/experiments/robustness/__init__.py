"""Incomplete scenes and degraded masks."""
