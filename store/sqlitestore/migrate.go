package sqlitestore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/internal/migrate"
)

// Migrations are the migrations as files, for tools: migrations/0001_init.up.sql and so on.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// A SchemaError says that a database is at another version of the schema than was wanted.
type SchemaError struct {
	Have int // 0 for no schema
	Want int // what this package works with
}

func (e *SchemaError) Error() string {
	remedy := "run sqlitestore.Migrate"
	if e.Have > e.Want {
		remedy = "use the version of this package that made it, or go back with that one's MigrateTo"
	}
	return fmt.Sprintf("sqlitestore: the schema is at version %d, want %d: %s", e.Have, e.Want, remedy)
}

// Migrate brings the schema of a database to the version that this package works with. It is
// a *[SchemaError] if it is beyond that. Where several do so at once, one does it and the
// others wait.
func Migrate(ctx context.Context, db *sql.DB) error {
	version, err := wanted()
	if err == nil {
		err = migrateTo(ctx, db, version)
	}
	return failed(err, "migrate")
}

// MigrateTo brings the schema of a database to any version, forward or back. Going back
// forgets what the older version has no place for: version 0 has none for anything.
func MigrateTo(ctx context.Context, db *sql.DB, version int) error {
	return failed(migrateTo(ctx, db, version), "migrate to version %d", version)
}

func migrateTo(ctx context.Context, db *sql.DB, version int) error {
	c, err := take(ctx, db, newOptions(nil).busy, true)
	if err != nil {
		return err
	}
	return errors.Join(c.transact(ctx, func() error { return c.migrateTo(version) }), c.end())
}

// migrateTo runs the migrations that lead to a version, within a transaction.
func (c *conn) migrateTo(version int) error {
	all, err := migrate.Load(Migrations)
	if err != nil {
		return err
	}
	have, err := c.version()
	if err != nil {
		return err
	}
	if have > len(all) {
		return &SchemaError{Have: have, Want: len(all)}
	}
	steps, err := migrate.Plan(all, have, version)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if _, err := c.ExecContext(background, s.SQL); err != nil {
			return fmt.Errorf("%s, from version %d to %d: %w", s.Name, s.From, s.To, err)
		}
	}
	return nil
}

// version returns the version that the schema is at, 0 if there is none.
func (c *conn) version() (version int, err error) {
	var tables int
	const find = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'stepgate_version'"
	if err := c.QueryRowContext(background, find).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	err = c.QueryRowContext(background, "SELECT version FROM stepgate_version").Scan(&version)
	return version, err
}

// checkVersion is a *[SchemaError] if the schema is not at the version that this package
// works with.
func (c *conn) checkVersion() error {
	want, err := wanted()
	if err != nil {
		return err
	}
	have, err := c.version()
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	if have != want {
		return &SchemaError{have, want}
	}
	return nil
}

// wanted returns the version that this package works with: that of its last migration.
func wanted() (int, error) {
	all, err := migrate.Load(Migrations)
	return len(all), err
}
