"""The fast paths of the networks on CUDA devices."""
