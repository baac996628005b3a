package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/internal/migrate"
	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

// Migrations has migrations/NUMBER_NAME.up.sql and .down.sql for each version of the schema, for
// migration tools. Each file records its version in the database: [Migrate] and a tool can
// alternate. Run each file in one transaction.
//
//go:embed migrations
var Migrations embed.FS

var errNoSchema = errors.New("pgstore: there is no current schema: the search_path has no existing schema")

// A SchemaError reports tables that this package cannot use. It can use tables of its own version,
// and of a later version that names this one as able to use them.
type SchemaError struct {
	Have int // version of the tables; 0 for no tables
	Want int // version of this package
}

// Error names both versions and the remedy.
func (e *SchemaError) Error() string {
	switch {
	case e.Have == 0:
		return fmt.Sprintf("pgstore: the current schema has no Stepgate tables, want version %d: run Migrate", e.Want)
	case e.Have < e.Want:
		return fmt.Sprintf("pgstore: the tables are of version %d, want %d: run Migrate", e.Have, e.Want)
	}
	return fmt.Sprintf("pgstore: the tables are of version %d, want %d: use the newer version of this package that made them, or migrate back with its MigrateTo", e.Have, e.Want)
}

// Migrate migrates the tables in the current schema forward to the version of this package, in one
// transaction. It leaves a later version that this package can use as it is, and fails with a
// *[SchemaError] on any other later version. It is idempotent, and any number of processes may call
// it at once: one migrates, the others wait. With a ctx without a deadline it fails after 10
// minutes.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	all, err := migrate.Load(Migrations)
	if err != nil {
		return err
	}
	return migrateTo(ctx, pool, all, len(all), false)
}

// MigrateTo is [Migrate] to a version from 0 to that of this package, forward or back. Migrating
// back deletes the data that the older version has no columns for; version 0 drops the tables with
// every job.
func MigrateTo(ctx context.Context, pool *pgxpool.Pool, version int) error {
	all, err := migrate.Load(Migrations)
	if err != nil {
		return err
	}
	return migrateTo(ctx, pool, all, version, true)
}

func migrateTo(ctx context.Context, pool *pgxpool.Pool, all []migrate.Migration, version int, mayGoBack bool) error {
	bound := 10 * time.Minute
	if deadline, ok := ctx.Deadline(); ok {
		bound = time.Until(deadline)
	}
	err := link.New(pool, bound).Write(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return migrateOn(ctx, c, all, version, mayGoBack)
	})
	var wrong *SchemaError
	if errors.As(err, &wrong) || errors.Is(err, errNoSchema) {
		return err
	}
	return failed("migrate", err)
}

func migrateOn(ctx context.Context, c *pgx.Conn, all []migrate.Migration, version int, mayGoBack bool) error {
	afterTheLock := pgx.TxOptions{IsoLevel: pgx.ReadCommitted} // to see what was committed during the wait for the lock
	return pgx.BeginTxFunc(ctx, c, afterTheLock, func(tx pgx.Tx) error {
		// One lock per schema, until the end of the transaction.
		var schema *string
		err := tx.QueryRow(ctx, `SELECT current_schema() FROM pg_advisory_xact_lock(hashtextextended('stepgate.' || current_schema(), 0))`, anywhere).Scan(&schema)
		switch {
		case err != nil:
			return err
		case schema == nil:
			return errNoSchema
		}
		have, err := readSchema(ctx, tx)
		switch {
		case err != nil:
			return err
		case !mayGoBack && have.Version >= version && have.Suits(version):
			return nil
		case have.Version > len(all) || have.Version > version && !mayGoBack:
			return &SchemaError{Have: have.Version, Want: len(all)}
		}
		steps, err := migrate.Plan(all, have.Version, version)
		if err != nil {
			return err
		}
		for _, step := range steps {
			if _, err := tx.Conn().PgConn().Exec(ctx, step.SQL).ReadAll(); err != nil {
				return fmt.Errorf("from version %d to %d: %w", step.From, step.To, err)
			}
		}
		return nil
	})
}

// checkVersion returns a *SchemaError if this package cannot use the tables.
func checkVersion(ctx context.Context, on *pgx.Conn) error {
	all, err := migrate.Load(Migrations)
	if err != nil {
		return err
	}
	have, err := readSchema(ctx, on)
	if err != nil {
		return failed("read the schema's version", err)
	}
	if !have.Suits(len(all)) {
		return &SchemaError{Have: have.Version, Want: len(all)}
	}
	return nil
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readSchema reads the version of the tables in the current schema.
func readSchema(ctx context.Context, on querier) (s migrate.Schema, err error) {
	var there bool
	err = on.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'stepgate_version')`, anywhere).Scan(&there)
	if err != nil || !there {
		return s, err
	}
	// Version 1 has no column oldest.
	err = on.QueryRow(ctx, `SELECT version, coalesce((to_jsonb(v) ->> 'oldest')::int, 0) FROM stepgate_version v`, anywhere).Scan(&s.Version, &s.Oldest)
	return s, err
}
