"""Packages `palomar.*`: what Hubble has no place for."""
