"""Asking a judge to compare answers: what is asked, the client, the budget, replies as they come.

What determines a reply is in `arena`; the others carry, and count in no spec.
"""
