// Package migrate reads the migrations of an SQL store and selects those that lead from one version
// of a schema to another. The store runs them, and knows the version of a database.
package migrate

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// Folder is the folder of a store's migrations, in the file system that it embeds: for each
// version, from 1 without gaps, 0001_name.up.sql and 0001_name.down.sql. Each file writes its
// [Schema], or the one before, to the database itself, so that any tool can run the files.
const Folder = "migrations"

// A Migration leads from the version before to its own, and back.
type Migration struct {
	Version int
	Name    string
	Up      string // the SQL that leads to Version
	Down    string // the SQL that leads back to Version-1
}

// A Schema is the schema's version in a database. The zero Schema is that of a database without one.
type Schema struct {
	Version int
	Oldest  int // programs of this version and later can use it; 0 is those of Version alone
}

// Suits reports whether a program whose last migration leads to version can use the schema: in a
// rolling deployment, programs run that are older than the schema.
func (s Schema) Suits(version int) bool {
	return s.Version == version || s.Version > version && s.Oldest != 0 && s.Oldest <= version
}

// A Step is one migration in one direction.
type Step struct {
	Name     string
	From, To int
	SQL      string
}

var fileName = regexp.MustCompile(`^(\d{4,})_(\w+)\.(up|down)\.sql$`)

// Load returns the migrations in [Folder], by version. Errors are a file with another name, a
// missing or repeated version, and a migration without a down file.
func Load(files fs.FS) ([]Migration, error) {
	entries, err := fs.ReadDir(files, Folder)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	var all []Migration
	for _, entry := range entries { // by name, and so down before up
		name, version, up, err := parse(entry.Name())
		if err != nil {
			return nil, err
		}
		sql, err := fs.ReadFile(files, path.Join(Folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		i := slices.IndexFunc(all, func(m Migration) bool { return m.Version == version && m.Name == name })
		if i < 0 {
			all = append(all, Migration{Version: version, Name: name})
			i = len(all) - 1
		}
		if up {
			all[i].Up = string(sql)
		} else {
			all[i].Down = string(sql)
		}
	}
	slices.SortStableFunc(all, func(a, b Migration) int { return a.Version - b.Version })
	return all, check(all)
}

// parse takes a file's name apart.
func parse(file string) (name string, version int, up bool, err error) {
	parts := fileName.FindStringSubmatch(file)
	if parts == nil {
		return "", 0, false, fmt.Errorf("migrations: %s is no migration: want a name like 0001_init.up.sql", file)
	}
	version, err = strconv.Atoi(parts[1])
	if err != nil {
		return "", 0, false, fmt.Errorf("migrations: %s: %w", file, err)
	}
	return parts[2], version, parts[3] == "up", nil
}

func check(all []Migration) error {
	if len(all) == 0 {
		return fmt.Errorf("migrations: there is none in %s", Folder)
	}
	for i, m := range all {
		switch {
		case m.Version != i+1:
			return fmt.Errorf("migrations: %04d_%s comes where version %d was to come", m.Version, m.Name, i+1)
		case m.Up == "":
			return fmt.Errorf("migrations: %04d_%s.up.sql is missing or empty", m.Version, m.Name)
		case m.Down == "":
			return fmt.Errorf("migrations: %04d_%s.down.sql is missing or empty", m.Version, m.Name)
		}
	}
	return nil
}

// Plan returns the steps that lead from one version to another, forward or back, in their
// order; version 0 is a database without a schema. A version beyond the last migration is an
// error, as its migrations are unknown.
func Plan(all []Migration, from, to int) ([]Step, error) {
	for _, version := range []int{from, to} {
		if version < 0 || version > len(all) {
			return nil, fmt.Errorf("migrations: there is no version %d, only 0 to %d", version, len(all))
		}
	}
	var steps []Step
	for _, m := range all[min(from, to):max(from, to)] {
		if from < to {
			steps = append(steps, Step{m.Name, m.Version - 1, m.Version, m.Up})
		} else {
			steps = append(steps, Step{m.Name, m.Version, m.Version - 1, m.Down})
		}
	}
	if from > to {
		slices.Reverse(steps)
	}
	return steps, nil
}
