"""From bare videos to amodal tracks."""
