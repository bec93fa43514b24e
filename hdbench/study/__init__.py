"""Human studies: designs, packets of images and pages, verification, and analysis."""
