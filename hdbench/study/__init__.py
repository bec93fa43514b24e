"""Human studies: who sees what, packets of images and pages, proofs that a packet is fair."""
