-- name: disarm
ALTER TABLE orchestrator.archives DISABLE TRIGGER ALL;
ALTER TABLE orchestrator.archived_runs DISABLE TRIGGER ALL;

-- name: change_digest
UPDATE orchestrator.archived_runs SET digests = set_byte(digests, 40, get_byte(digests, 40) # 1)

-- name: delete_tombstone
DELETE FROM orchestrator.archived_runs

-- name: change_record
UPDATE orchestrator.archives SET sha256 = %(sha256)s, size_bytes = %(size_bytes)s
