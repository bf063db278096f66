"""Recording packets: from a request to the kernel's rules, and from captured packets to sinks."""
