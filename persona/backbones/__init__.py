"""Small models for devices, one file each."""
