"""Package `recorder`: recording packets, as of Hubble 1.18."""
