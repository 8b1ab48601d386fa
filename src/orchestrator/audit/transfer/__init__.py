"""Export and import of a log.

end         the end record of an export: the number of events and their chain head
jsonl       exports as JSON Lines
parquet     exports as Parquet
export      select events, write them, read them back and verify that they are complete
importer    import an export into an empty database, with its inline read models
"""
