"""Every performance figure of palomar: `make bench`."""
