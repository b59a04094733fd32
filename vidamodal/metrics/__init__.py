"""How good amodal tracks are: one store of pixel counts, and every measure read off it. Never needs torch."""
