"""What entry scripts share: running, outcomes, devices, weights, finding the module of a method.
Plumbing: never hashed.
"""
