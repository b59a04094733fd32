"""Live prediction beside prediction of whole clips."""
