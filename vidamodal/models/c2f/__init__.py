"""C2F-Seg, the published model that serves as the control."""
