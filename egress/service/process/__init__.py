"""The supervisor as a process: signals, descriptors, service manager, control socket."""
