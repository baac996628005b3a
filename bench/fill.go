package main

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

// A filler fills tables of one database with copies of rows that a program has stored there.
type filler struct {
	exec    func(statement string) error
	columns func(table string) ([]string, error) // of its rows, in their order
	numbers func(first, last int) string         // a relation whose column n has these numbers
	request string                               // the request that belongs to n
}

// copies adds copies of the rows of a table, known as t, that where selects: one for each number n from
// first to last, with other values in the columns of instead.
func (f filler) copies(table, where string, first, last int, instead map[string]string) error {
	if last < first {
		return nil
	}
	columns, err := f.columns(table)
	if err != nil {
		return err
	}
	return f.exec(copying(table, columns, where, f.numbers(first, last), instead))
}

func copying(table string, columns []string, where, numbers string, instead map[string]string) string {
	var names, values []string
	for _, c := range columns {
		value, ok := instead[c]
		if !ok {
			value = `t."` + c + `"`
		}
		names, values = append(names, `"`+c+`"`), append(values, value)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s t CROSS JOIN %s WHERE %s",
		table, strings.Join(names, ", "), strings.Join(values, ", "), table, numbers, where)
}

// fillPostgres fills the schema of a pool.
func fillPostgres(ctx context.Context, pool *pgxpool.Pool) filler {
	return filler{
		exec: func(statement string) error {
			_, err := pool.Exec(ctx, statement)
			return err
		},
		columns: func(table string) ([]string, error) {
			rows, err := pool.Query(ctx, `SELECT column_name::text FROM information_schema.columns
				WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position`, table)
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, pgx.RowTo[string])
		},
		numbers: func(first, last int) string {
			return fmt.Sprintf("generate_series(%d, %d) AS numbers (n)", first, last)
		},
		request: "lpad(to_hex(n), 32, '0')::uuid",
	}
}

// fillSQLite calls do to fill the file at path, in one transaction that waits for no disk.
func fillSQLite(ctx context.Context, path string, do func(filler) error) error {
	db, err := sql.Open("sqlite", path+"?_pragma=synchronous(0)&_pragma=cache_size(-200000)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	err = do(filler{
		exec: func(statement string) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		},
		columns: func(table string) (names []string, err error) {
			rows, err := tx.QueryContext(ctx, "SELECT name FROM pragma_table_info(?) ORDER BY cid", table)
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			for rows.Next() {
				names = append(names, "")
				if err := rows.Scan(&names[len(names)-1]); err != nil {
					return nil, err
				}
			}
			return names, rows.Err()
		},
		numbers: func(first, last int) string {
			return fmt.Sprintf("(WITH RECURSIVE s (n) AS (SELECT %d UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n FROM s) AS numbers", first, last)
		},
		request: "unhex(printf('%032x', n))",
	})
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// stock creates a job, and copies its rows in these tables until there are as many as jobs says.
func stock(ctx context.Context, eng *engine.Engine, fill func(context.Context, func(filler) error) error, jobs int, tables ...string) (store.JobID, error) {
	first, err := eng.Create(ctx, stocked, engine.Request{})
	if err != nil {
		return 0, err
	}
	return first.Job, fill(ctx, func(f filler) error {
		for _, table := range tables {
			key := "job"
			if table == "stepgate_jobs" {
				key = "id"
			}
			err := f.copies(table, fmt.Sprintf("t.%s = %d", key, first.Job), 1, jobs-1, map[string]string{
				key: "t." + key + " + n", "request": f.request, "scope_id": fmt.Sprintf("CAST(n %% %d AS text)", scopes),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// scopeID returns the scope of the n-th job of a stock.
func scopeID(n int) string { return strconv.Itoa(n % scopes) }

// age refuses the confirmation of each job and asks for it again, and copies these two records until
// each job has the given number of records, which is even.
func age(ctx context.Context, eng *engine.Engine, fill func(context.Context, func(filler) error) error, jobs []store.JobID, records int) error {
	err := inParallel(atOnce, len(jobs), func(i int) error {
		for _, m := range moves {
			if _, err := eng.Operate(ctx, jobs[i], 1, m.code, engine.Request{By: "ann"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fill(ctx, func(f filler) error {
		for _, id := range jobs {
			err := f.copies("stepgate_records", fmt.Sprintf("t.job = %d AND t.seq = 3 + (n - 3) %% 2", id), 5, records, map[string]string{
				"seq": "n", "request": f.request, "attempt": "t.attempt + (n - 3) / 2", "run_full": "t.run_full + (n - 3) / 2",
			})
			if err != nil {
				return err
			}
		}
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(jobs), " ", ", "), "[]")
		if err := f.exec(fmt.Sprintf("UPDATE stepgate_jobs SET version = %[1]d, moved = %[1]d WHERE id IN (%[2]s)", records, list)); err != nil {
			return err
		}
		return f.exec(fmt.Sprintf("UPDATE stepgate_steps SET attempt = %[1]d, run_full = %[1]d WHERE job IN (%[2]s) AND id = 1", records/2, list))
	})
}

// vacuum vacuums and analyses the tables of a pool's schema, as the server does by itself in
// time.
func vacuum(ctx context.Context, pool *pgxpool.Pool) error {
	var tables string
	err := pool.QueryRow(ctx, `SELECT string_agg(quote_ident(relname), ', ' ORDER BY relname) FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`).Scan(&tables)
	if err == nil {
		_, err = pool.Exec(ctx, "VACUUM (ANALYZE) "+tables)
	}
	return err
}

// settled makes the server write the filled tables out, which would otherwise happen during the
// measurement. A role without the right to ask for it goes without.
func (r *run) settled(ctx context.Context) error {
	if r.dsn == "" {
		return nil
	}
	if err := execute(ctx, r.dsn, "CHECKPOINT"); err != nil {
		r.log("no checkpoint before the measurement: %v", err)
	}
	return ctx.Err()
}
