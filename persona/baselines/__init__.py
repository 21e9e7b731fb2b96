"""What others do on the same streams, one file each: every peer that our tables hold ours against."""
