"""The composition root: the only place that builds pools, stores, workers and apps, and takes them down again.

core       the database, the log on it, and the ways to ask and to read: what every process needs
working    a worker with its skills, its executor and its step cache
showing    the projector and the hash chain
auditing   the audit, and what brings an export in
filling    the log alone, for the processes of a rebuild
retaining  what archives runs, and what looks into the archive
serving    the web application
tracing    where spans go
"""
