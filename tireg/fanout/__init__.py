"""Running many independent jobs, in this process, in several, or on several machines."""
