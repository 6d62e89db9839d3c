CREATE TABLE IF NOT EXISTS okidkit_records (
	record_key bytea  PRIMARY KEY,
	value      bytea  NOT NULL,
	version    bigint NOT NULL,
	ends_at    bigint NOT NULL,
	due_at     bigint
);
CREATE INDEX IF NOT EXISTS okidkit_records_due ON okidkit_records (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS okidkit_records_end ON okidkit_records (ends_at);
