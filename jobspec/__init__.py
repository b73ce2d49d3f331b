"""The language that every part of Secateur speaks: job specs, states, events, reports, errors.

Data only: pydantic and the standard library. Import the module that holds what you need.
"""
