-- Sign-ins of browsers. What a browser holds is not kept, only its SHA-256. A session of a key ends with the key, so its
-- tenant and role are looked up with it; a session of a token is as the token said, and ends when the token expires.
-- Times are milliseconds since 1970 UTC.
CREATE TABLE orchestrator.sessions (
    hash       bytea  PRIMARY KEY CHECK (octet_length(hash) = 32),
    tenant     text   NOT NULL,
    credential text   NOT NULL,
    key_id     text,
    actor      text   NOT NULL,
    role       text   NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX sessions_by_credential ON orchestrator.sessions (tenant, credential, created_at DESC);
CREATE INDEX sessions_by_end ON orchestrator.sessions (expires_at);

-- Every process forgets a session that ends. Channel and payload are those of keys, so that streams are checked again.
CREATE FUNCTION orchestrator.tell_of_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('orchestrator_keys', 'session:' || encode(OLD.hash, 'hex'));
    RETURN NULL;
END;
$$;

CREATE TRIGGER sessions_are_told_of
    AFTER UPDATE OR DELETE ON orchestrator.sessions
    FOR EACH ROW EXECUTE FUNCTION orchestrator.tell_of_session();
