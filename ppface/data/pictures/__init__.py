"""Picture files: opened, checked for damage, decoded, and drawn into a batch with one warp."""
