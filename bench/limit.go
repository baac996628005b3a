package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/pgkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// diskLimit writes 8 KiB to a file in folder and flushes them, again and again, for any number of
// callers: the limit of a disk that stores one change after another.
func diskLimit(name, folder string) (subject, error) {
	f, err := os.Create(filepath.Join(folder, "raw"))
	if err != nil {
		return subject{}, err
	}
	var page [8 << 10]byte
	return subject{
		name: name,
		unit: "8 KiB appended to a file and flushed, one after the other, for any number of callers",
		begin: func(context.Context) error {
			_, err := f.Seek(0, io.SeekStart)
			return errors.Join(err, f.Truncate(0))
		},
		turn: func(ctx context.Context, _ int, each time.Duration) (sample, error) {
			alone := subject{op: func(context.Context, int, int) error {
				if _, err := f.Write(page[:]); err != nil {
					return err
				}
				return f.Sync()
			}}
			return contest{callers: 1}.measure(ctx, alone, each)
		},
		close: func() error { return errors.Join(f.Close(), os.Remove(f.Name())) },
	}, nil
}

// mostClients is the maximum of pgbench's clients: a server takes 100 connections by default, and
// other clients need some.
const mostClients = 64

// errNoPgbench: pgbench, which measures the limit of PostgreSQL, is not installed.
var errNoPgbench = errors.New("pgbench is not installed: it comes with the PostgreSQL server")

// idealLimit runs the ideal statement by pgbench, on tables of its own.
func (r *run) idealLimit(ctx context.Context, name string, callers int) (subject, error) {
	_, dsn, drop, err := r.schema(ctx)
	if err != nil {
		return subject{}, err
	}
	if err := execute(ctx, dsn, pgkit.IdealTables); err != nil {
		return subject{}, errors.Join(err, drop())
	}
	return r.limit(name, fmt.Sprintf("the minimal statement of an operation, without checks: compare and swap a job, insert a record, insert an effect; pgbench has a client per caller, at most %d", mostClients),
		load{dsn: dsn, script: pgkit.IdealScript, clients: min(callers, mostClients), jobs: 1}, drop)
}

// honestLimit runs the honest statement, of a number of jobs at once, by pgbench on Stepgate's tables.
func (r *run) honestLimit(ctx context.Context, name string, clients, jobs int) (subject, error) {
	dsn, drop, err := r.honestTables(ctx)
	if err != nil {
		return subject{}, err
	}
	unit := "the same statement on Stepgate's tables, with all that an operation writes there: the job, its step, a record of all columns with a request id, the effect, and their indices"
	if clients == 1 && jobs > 1 {
		unit = "the same of half as many jobs in one statement as there are callers, on one connection; each job is an operation"
	}
	return r.limit(name, unit, load{dsn: dsn, script: pgkit.HonestScript(jobs), options: pgkit.HonestOptions, clients: clients, jobs: jobs}, drop)
}

// honestTables makes a schema with the tables and jobs of the honest statement, and returns a
// connection string for it and a function that drops it.
func (r *run) honestTables(ctx context.Context) (dsn string, drop func() error, err error) {
	_, dsn, drop, err = r.schema(ctx)
	if err != nil {
		return "", nil, err
	}
	pool, err := connect(ctx, dsn, conns)
	if err != nil {
		return "", nil, errors.Join(err, drop())
	}
	defer pool.Close()
	st, err := openPostgres(ctx, pool)
	if err != nil {
		return "", nil, errors.Join(err, drop())
	}
	defer st.Close()
	var last atomic.Int64
	eng := engine.New(st, engine.WithJobIDs(func(step.Time) store.JobID { return store.JobID(last.Add(1)) }))
	if _, err := started(ctx, eng, pgkit.Jobs, atOnce, asking(5)); err != nil {
		return "", nil, errors.Join(err, drop())
	}
	return dsn, drop, nil
}

// A load is a load by pgbench.
type load struct {
	dsn     string
	script  string
	options string // of its connections
	clients int
	jobs    int // of one statement
}

// limit returns a load as a subject of a contest.
func (r *run) limit(name, unit string, l load, drop func() error) (subject, error) {
	script := filepath.Join(r.disk, fmt.Sprintf("limit-%d.sql", serial.Add(1)))
	if err := os.WriteFile(script, []byte(l.script), 0o600); err != nil {
		return subject{}, errors.Join(err, drop())
	}
	return subject{
		name: name, unit: unit, close: drop,
		turn: func(ctx context.Context, _ int, each time.Duration) (sample, error) {
			s, err := l.pgbench(ctx, script, each)
			s.perSecond *= float64(l.jobs)
			return s, err
		},
	}, nil
}

// pgbench runs a script for a time in whole seconds. The seconds before, in which the clients connect
// and prepare, do not count.
func (l load) pgbench(ctx context.Context, script string, each time.Duration) (sample, error) {
	path, err := pgbenchPath()
	if err != nil {
		return sample{}, err
	}
	to, err := pgx.ParseConfig(l.dsn)
	if err != nil {
		return sample{}, err
	}
	seconds := 1 + l.clients/32 + int((each+time.Second-1)/time.Second)
	cmd := exec.CommandContext(ctx, path, "--no-vacuum", "--protocol=prepared", "--file="+script,
		"--client="+strconv.Itoa(l.clients), "--jobs="+strconv.Itoa(min(l.clients, runtime.NumCPU())), "--time="+strconv.Itoa(seconds), "--progress=1")
	cmd.Env = append(os.Environ(), "PGHOST="+to.Host, "PGPORT="+strconv.Itoa(int(to.Port)), "PGUSER="+to.User,
		"PGPASSWORD="+to.Password, "PGSSLMODE=disable", "PGDATABASE="+to.Database,
		"PGOPTIONS=-c search_path="+to.RuntimeParams["search_path"]+l.options)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	return pgbenchSample(out)
}

// pgbenchSample takes the figures of the last second from the output of pgbench.
func pgbenchSample(out []byte) (sample, error) {
	all := regexp.MustCompile(`progress: [0-9.]+ s, ([0-9.]+) tps`).FindAllSubmatch(out, -1)
	if all == nil {
		return sample{}, fmt.Errorf("pgbench gives no figure: %s", out)
	}
	last := all[len(all)-1]
	rate, err := strconv.ParseFloat(string(last[1]), 64)
	if err == nil && rate == 0 {
		err = errors.New("pgbench got nothing done in its last second")
	}
	return sample{perSecond: rate, allocs: nan}, err
}

// pgbenchPath returns the path of pgbench: in the PATH, or in Debian's folder.
func pgbenchPath() (string, error) {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return path, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil || len(found) == 0 {
		return "", errNoPgbench
	}
	return found[len(found)-1], nil
}
