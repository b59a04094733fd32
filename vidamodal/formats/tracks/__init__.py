"""The project's own formats: files and folders of tracks.json, and WebDataset shards of them."""
