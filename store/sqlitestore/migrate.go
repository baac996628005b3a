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

// A SchemaError says that a database is at a version of the schema that this package does not work
// with: its own, or a later one that says that programs of this version can use it.
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

// Migrate brings the schema of a database to the version that this package works with. A later
// one that this package can use stays as it is; it is a *[SchemaError] if it cannot. Where several do
// so at once, one does it and the others wait.
func Migrate(ctx context.Context, db *sql.DB) error {
	version, err := wanted()
	if err == nil {
		err = migrateTo(ctx, db, version, false)
	}
	return failed(err, "migrate")
}

// MigrateTo brings the schema of a database to any version, forward or back. Going back
// forgets what the older version has no place for: version 0 has none for anything.
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

// migrateTo runs the migrations that lead to a version, within a transaction.
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

// schema returns what the database says of its schema.
func (c *conn) schema() (s migrate.Schema, err error) {
	const find = "SELECT count(*), count(*) FILTER (WHERE name = 'oldest') FROM pragma_table_info('stepgate_version')"
	var columns, oldest int
	if err := c.QueryRowContext(background, find).Scan(&columns, &oldest); err != nil || columns == 0 {
		return s, err
	}
	read := "SELECT version, 0 FROM stepgate_version" // of the first version
	if oldest > 0 {
		read = "SELECT version, oldest FROM stepgate_version"
	}
	err = c.QueryRowContext(background, read).Scan(&s.Version, &s.Oldest)
	return s, err
}

// checkVersion is a *[SchemaError] if this package cannot use the schema.
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

// wanted returns the version that this package works with: that of its last migration.
func wanted() (int, error) {
	all, err := migrate.Load(Migrations)
	return len(all), err
}
