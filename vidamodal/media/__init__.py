"""Videos, images and other plain files: reading and writing, without any knowledge of mask formats."""
