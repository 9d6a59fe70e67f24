"""A coloured triangle mesh of a face: its shape, and camera, light and rasteriser through which gradients flow."""
