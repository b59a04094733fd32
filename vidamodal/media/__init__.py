"""Reading and writing of videos, masks and tracks. Nothing else in the package touches files of media."""
