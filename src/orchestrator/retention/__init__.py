"""Retention: move old runs from the log to archive files, delete runs, and remove content that nothing names.

selection   selects the runs to archive: old, finished, and not needed by anything that stays
archive     the files: Parquet, by month, below one fsspec URL
archivist   archives runs, file by file
eraser      deletes a run for good
removal     what both do: take runs out of the log and the read models, and leave tombstones
inspector   compares the files with what was recorded about them
names       which content of the artifact store something names
pruner      removes the rest from the artifact store
turn        one process at a time
"""
