CREATE TABLE IF NOT EXISTS okidkit_records (
	record_key varbinary(256) NOT NULL PRIMARY KEY,
	value      mediumblob     NOT NULL,
	version    bigint         NOT NULL,
	ends_at    bigint         NOT NULL,
	due_at     bigint,
	INDEX okidkit_records_due (due_at),
	INDEX okidkit_records_end (ends_at)
) ENGINE = InnoDB;
