-- Which process a worker is, for others on the same machine to see whether it still lives.
ALTER TABLE orchestrator.workers ADD COLUMN pulse text;
