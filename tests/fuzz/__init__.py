"""Requests nobody would write, made from the API's own description of itself, against a program that serves.

test_fuzz.py    the short form, part of `make test`     __main__.py    the long form: `make fuzz`
visit.py        one round                               hooks.py       what schemathesis is told of our data
"""
