"""The fast paths of the networks on CPUs."""
