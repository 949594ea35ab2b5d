"""Whether training works on this machine: the step as the device runs it, beside the plain one."""
