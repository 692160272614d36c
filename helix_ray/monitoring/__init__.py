"""How a host is: processors, memory, disks, network and temperature, read from the kernel's files."""
