"""Plain masks: PNGs of ids, folders of PNGs for each object, npz."""
