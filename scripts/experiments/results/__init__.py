"""The bundled model and the baselines under all protocols."""
