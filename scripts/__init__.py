"""Entry points, experiments and developer tools; run from the root of the repository."""
