"""Rebuild a read model beside the live one: fill, catch up, compare, swap."""
