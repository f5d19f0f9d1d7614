"""Tests of the workflow: jobs, reruns, the dataset."""
