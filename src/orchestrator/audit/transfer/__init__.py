"""Export and import of a log.

end         the last word of an export: how many events there are and what they come to
jsonl       an export as JSON Lines
parquet     an export as Parquet
export      select events, write them, read them back and see that all are there
importer    an export into an empty database, with every read model
"""
