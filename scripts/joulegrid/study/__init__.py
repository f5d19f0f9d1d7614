"""From a YAML file to jobs, on the login node: what a study asks for, and what is there."""
