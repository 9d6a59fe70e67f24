"""Picture files: opened, checked for damage, decoded, and rendered into a batch by one warp."""
