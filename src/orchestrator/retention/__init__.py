"""Retention: move old finished runs from the log to archive files, verify those files, and remove what nothing names.

selection   selects the runs to archive: old, finished, and not needed by anything that stays
archive     the files: Parquet, by month, below one fsspec URL
archivist   archives runs, file by file
inspector   compares the files with what was recorded about them
names       which content of the artifact store something names
pruner      removes the rest from the artifact store
turn        one process at a time
"""
