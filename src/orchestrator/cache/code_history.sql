-- name: record
WITH latest AS (
    SELECT g.skill, g.code, h.code AS before
    FROM unnest(%(skills)s::text[], %(codes)s::text[]) AS g (skill, code)
    LEFT JOIN LATERAL (
        SELECT s.code FROM skill_code AS s WHERE s.skill = g.skill ORDER BY s.seen_at DESC LIMIT 1
    ) AS h ON true
), added AS (
    INSERT INTO skill_code (skill, seen_at, code)
    SELECT skill, %(at)s, code FROM latest WHERE before IS DISTINCT FROM code
    ON CONFLICT DO NOTHING
)
SELECT skill FROM latest WHERE before <> code ORDER BY skill

-- name: trim
DELETE FROM skill_code AS s
WHERE s.skill = ANY(%(skills)s::text[])
  AND s.seen_at < (
      SELECT n.seen_at FROM skill_code AS n WHERE n.skill = s.skill ORDER BY n.seen_at DESC OFFSET %(kept)s - 1 LIMIT 1)

-- name: cached
SELECT s.skill
FROM unnest(%(skills)s::text[]) AS s (skill)
WHERE EXISTS (SELECT FROM step_cache AS c WHERE c.skill = s.skill)
ORDER BY s.skill

-- name: changes
SELECT s.skill, s.seen_at, s.code
FROM skill_code AS s
WHERE split_part(s.skill, '@', 1) = ANY(%(ids)s::text[])
  AND EXISTS (SELECT FROM skill_code AS o WHERE o.skill = s.skill AND o.seen_at <> s.seen_at)
ORDER BY s.skill, s.seen_at
