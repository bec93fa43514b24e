"""How methods of the pix2pixHD family learn."""
