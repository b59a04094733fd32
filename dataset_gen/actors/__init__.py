"""People, animals and vehicles that act in scenes."""
