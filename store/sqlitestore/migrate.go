package sqlitestore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/internal/migrate"
)

// Migrations has the migrations as files for migration tools: migrations/0001_init.up.sql and so
// on, each with a .down.sql.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// A SchemaError reports a database whose schema this package cannot use. It can use the schema of
// its own version, and a later one that names this version as one that can use it.
type SchemaError struct {
	Have int // version of the schema; 0 for no schema
	Want int // version of this package
}

// Error names both versions and the remedy.
func (e *SchemaError) Error() string {
	remedy := "run sqlitestore.Migrate"
	if e.Have > e.Want {
		remedy = "use the newer version of this package that made it, or migrate back with its MigrateTo"
	}
	return fmt.Sprintf("sqlitestore: the schema is at version %d, want %d: %s", e.Have, e.Want, remedy)
}

// Migrate migrates the schema of db forward to the version of this package. It leaves a later
// version that this package can use as it is, and fails with a *[SchemaError] on any other later
// version. It is idempotent and safe to call from several processes at once: one migrates, the
// others wait.
func Migrate(ctx context.Context, db *sql.DB) error {
	version, err := wanted()
	if err == nil {
		err = migrateTo(ctx, db, version, false)
	}
	return failed(err, "migrate")
}

// MigrateTo migrates the schema of db to a version from 0 to that of this package, forward or back.
// Migrating back deletes the data that the older version has no columns for; version 0 deletes
// every job. It fails with a *[SchemaError] if the schema is of a later version than this package.
func MigrateTo(ctx context.Context, db *sql.DB, version int) error {
	return failed(migrateTo(ctx, db, version, true), "migrate to version %d", version)
}

func migrateTo(ctx context.Context, db *sql.DB, version int, mayGoBack bool) error {
	c, err := take(ctx, db, newOptions(nil).busy, true)
	if err != nil {
		return err
	}
	return errors.Join(c.transact(ctx, func() error { return c.migrateTo(version, mayGoBack) }), c.end())
}

// migrateTo runs the migrations to a version. The caller begins a transaction.
func (c *conn) migrateTo(version int, mayGoBack bool) error {
	all, err := migrate.Load(Migrations)
	if err != nil {
		return err
	}
	have, err := c.schema()
	switch {
	case err != nil:
		return err
	case !mayGoBack && have.Version >= version && have.Suits(version):
		return nil
	case have.Version > len(all):
		return &SchemaError{Have: have.Version, Want: len(all)}
	}
	steps, err := migrate.Plan(all, have.Version, version)
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

// schema reads the version of the schema from the database.
func (c *conn) schema() (s migrate.Schema, err error) {
	const find = "SELECT count(*), count(*) FILTER (WHERE name = 'oldest') FROM pragma_table_info('stepgate_version')"
	var columns, oldest int
	if err := c.QueryRowContext(background, find).Scan(&columns, &oldest); err != nil || columns == 0 {
		return s, err
	}
	read := "SELECT version, 0 FROM stepgate_version" // version 1 has no column oldest
	if oldest > 0 {
		read = "SELECT version, oldest FROM stepgate_version"
	}
	err = c.QueryRowContext(background, read).Scan(&s.Version, &s.Oldest)
	return s, err
}

// checkVersion returns a *[SchemaError] if this package cannot use the schema.
func (c *conn) checkVersion() error {
	want, err := wanted()
	if err != nil {
		return err
	}
	have, err := c.schema()
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	if !have.Suits(want) {
		return &SchemaError{have.Version, want}
	}
	return nil
}

// wanted returns the version of this package: that of its last migration.
func wanted() (int, error) {
	all, err := migrate.Load(Migrations)
	return len(all), err
}
