"""The composition root: the only place that builds and closes pools, stores, workers and apps.

core        the services that every process needs: the database, the log, commands and queries
database    the configured database, or the embedded one
working     a worker with its skills, its executor and its step cache
showing     the projectors and the hash chain
auditing    the auditor and the importer
filling     the log only, for the processes of a rebuild
retaining   the archivist and the inspector of the archive
serving     the web application
tracing     the export of spans
grants      the database permissions that a process needs
configured  errors for packages that a setting needs
"""
