"""The process of the supervisor: signals, descriptors, notifications of the service manager, control socket."""
