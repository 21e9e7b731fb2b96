"""What a request costs the cloud: CPU, throughput of a core, latency at half load, of a real server process."""
