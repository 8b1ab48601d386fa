"""How long things are kept: finished runs leave the log for archive files, and what is in those files is checked.

selection   which runs may leave: old, finished, and needed by nothing that stays
archive     the files: Parquet, by month, below one fsspec url
archivist   takes runs out, file by file
inspector   holds the files against what was recorded of them
"""
