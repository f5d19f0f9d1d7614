"""Workloads: what is asked of an engine. One module per method, named as in a study, with
`requests(entry, seed)`.
"""
