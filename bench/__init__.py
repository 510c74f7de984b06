"""Measurements; nothing here is asserted by the suite. `make bench` runs them."""
