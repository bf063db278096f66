"""Recording packets: the place for pcap encoding, sinks and stop conditions."""
