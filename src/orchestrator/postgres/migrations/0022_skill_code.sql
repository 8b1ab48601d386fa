-- The code of skills as workers found it when they started, one row for each change. It tells when the code of a skill
-- changed while its version did not. `skill` is `id@version`, `seen_at` is milliseconds since 1970 UTC.
CREATE TABLE orchestrator.skill_code (
    skill   text   NOT NULL,
    seen_at bigint NOT NULL,
    code    text   NOT NULL,
    PRIMARY KEY (skill, seen_at)
);
