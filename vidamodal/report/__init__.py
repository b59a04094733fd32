"""Pictures for people: overlays, contact sheets and animations."""
