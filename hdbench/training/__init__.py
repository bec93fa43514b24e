"""The training loops of pix2pixHD, and of networks that label pixels."""
