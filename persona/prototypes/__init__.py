"""How a bank is formed from the codes of training devices: cluster them, and learn to pick without the cloud."""
