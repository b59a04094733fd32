"""Overlays, contact sheets, animations and the HTML report."""
