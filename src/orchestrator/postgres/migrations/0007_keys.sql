-- API keys. What a holder shows is not kept, only its SHA-256. Times are milliseconds since 1970 UTC.
CREATE TABLE orchestrator.keys (
    id         text   PRIMARY KEY,
    tenant     text   NOT NULL,
    name       text   NOT NULL,
    role       text   NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    hash       bytea  NOT NULL CHECK (octet_length(hash) = 32),
    created_at bigint NOT NULL,
    created_by text   NOT NULL,
    expires_at bigint,
    revoked_at bigint
);

-- Every process forgets what it knows of a key that changes, whoever changes it. Of a new one nobody knows anything.
CREATE FUNCTION orchestrator.tell_of_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('orchestrator_keys', OLD.id);
    RETURN NULL;
END;
$$;

CREATE TRIGGER keys_are_told_of
    AFTER UPDATE OR DELETE ON orchestrator.keys
    FOR EACH ROW EXECUTE FUNCTION orchestrator.tell_of_key();
