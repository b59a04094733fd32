"""What true masks of some frames are worth for the other frames of their tracks."""
