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
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/pgkit"
)

// diskLimit writes 8 KiB to a file in folder and flushes them, again and again, whatever the
// number of callers: what a disk does that keeps one change after another.
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

// mostClients is how many clients pgbench has at most: a server takes 100 connections, unless it
// is told otherwise, and others need some.
const mostClients = 64

// errNoPgbench: what the limit of PostgreSQL is measured with is not installed.
var errNoPgbench = errors.New("pgbench is not installed: it comes with the PostgreSQL server")

// pgbenchLimit has pgbench run the ideal statement with as many clients as there are callers, or
// mostClients.
func (r *run) pgbenchLimit(ctx context.Context, name string) (subject, error) {
	_, dsn, drop, err := r.schema(ctx)
	if err != nil {
		return subject{}, err
	}
	script := filepath.Join(r.disk, "ideal.sql")
	err = errors.Join(execute(ctx, dsn, pgkit.IdealTables), os.WriteFile(script, []byte(pgkit.IdealScript), 0o600))
	if err != nil {
		return subject{}, errors.Join(err, drop())
	}
	return subject{
		name: name,
		unit: fmt.Sprintf("the minimal statement of an operation, without checks: compare and swap a job, insert a record, insert an effect; pgbench has a client per caller, at most %d", mostClients),
		turn: func(ctx context.Context, callers int, each time.Duration) (sample, error) {
			return pgbench(ctx, dsn, script, min(callers, mostClients), each)
		},
		close: drop,
	}, nil
}

// pgbench runs a script with so many clients for so long, in whole seconds. Those before, in which
// they connect and prepare, do not count.
func pgbench(ctx context.Context, dsn, script string, clients int, each time.Duration) (sample, error) {
	path, err := pgbenchPath()
	if err != nil {
		return sample{}, err
	}
	to, err := pgx.ParseConfig(dsn)
	if err != nil {
		return sample{}, err
	}
	seconds := 1 + clients/32 + int((each+time.Second-1)/time.Second)
	cmd := exec.CommandContext(ctx, path, "--no-vacuum", "--protocol=prepared", "--file="+script,
		"--client="+strconv.Itoa(clients), "--jobs="+strconv.Itoa(min(clients, runtime.NumCPU())), "--time="+strconv.Itoa(seconds), "--progress=1")
	cmd.Env = append(os.Environ(), "PGHOST="+to.Host, "PGPORT="+strconv.Itoa(int(to.Port)), "PGUSER="+to.User,
		"PGPASSWORD="+to.Password, "PGSSLMODE=disable", "PGDATABASE="+to.Database, "PGOPTIONS=-c search_path="+to.RuntimeParams["search_path"])
	out, err := cmd.CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	return pgbenchSample(out)
}

// pgbenchSample takes the figures of the last second from what pgbench has printed.
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

// pgbenchPath returns where pgbench is: in the PATH, or where Debian keeps it.
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
