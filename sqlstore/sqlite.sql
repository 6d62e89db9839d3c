CREATE TABLE IF NOT EXISTS okidkit_records (
	record_key BLOB    NOT NULL PRIMARY KEY,
	value      BLOB    NOT NULL,
	version    INTEGER NOT NULL,
	ends_at    INTEGER NOT NULL,
	due_at     INTEGER
);
CREATE INDEX IF NOT EXISTS okidkit_records_due ON okidkit_records (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS okidkit_records_end ON okidkit_records (ends_at);
