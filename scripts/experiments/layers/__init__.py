"""Pictures of occlusion layers."""
