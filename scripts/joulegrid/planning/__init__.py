"""Planning: what a study's jobs will take, and what cannot run, before anything is sent."""
