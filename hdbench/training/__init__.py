"""The training loops: pix2pixHD's, and that of networks that label pixels."""
