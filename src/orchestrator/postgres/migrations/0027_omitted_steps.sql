-- Steps that are omitted, and why.
ALTER TABLE orchestrator.runs ADD COLUMN omitted_steps json;
ALTER TABLE orchestrator.run_steps ADD COLUMN because text;
