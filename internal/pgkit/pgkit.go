// Package pgkit is what tests and benchmarks on PostgreSQL share that needs no driver.
package pgkit

import (
	"net/url"
	"strings"
)

// The ideal statement is what an operation cannot do without: compare and swap a job, write a
// record, write an effect. It checks nothing. IdealScript is that for pgbench, on the tables of
// IdealTables.
const (
	IdealTables = `
CREATE TABLE ideal_jobs (id bigint PRIMARY KEY, version bigint NOT NULL, state smallint NOT NULL) WITH (fillfactor = 80);
CREATE TABLE ideal_records (job bigint, seq bigint, actor text, code smallint, PRIMARY KEY (job, seq));
CREATE TABLE ideal_effects (job bigint, seq bigint, effect smallint, PRIMARY KEY (job, seq));
INSERT INTO ideal_jobs SELECT id, 0, 1 FROM generate_series(1, 1024) id;`

	IdealScript = `\set id random(1, 1024)
WITH job AS (
	UPDATE ideal_jobs SET version = version + 1, state = 3 - state WHERE id = :id AND state IN (1, 2) RETURNING id, version
), record AS (
	INSERT INTO ideal_records SELECT id, version, 'ann', 9 FROM job
)
INSERT INTO ideal_effects SELECT id, version, 1 FROM job;
`
)

// Within returns a connection string, a URL or in words, that differs from dsn in the schema of
// its connections.
func Within(dsn, schema string) string {
	if u, err := url.Parse(dsn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		query := u.Query()
		query.Set("search_path", schema)
		u.RawQuery = query.Encode()
		return u.String()
	}
	return dsn + " search_path=" + schema
}
