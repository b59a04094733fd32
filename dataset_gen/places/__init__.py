"""Streets, rooms and fields: where actors go, what stands in their way, and how people film them."""
