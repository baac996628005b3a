package migrate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stepgate/stepgate/internal/migrate"
)

// files returns a file system with these files in the folder, each with its name for SQL.
func files(names ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, name := range names {
		fsys[migrate.Folder+"/"+name] = &fstest.MapFile{Data: []byte(name)}
	}
	return fsys
}

var three = files(
	"0001_init.up.sql", "0001_init.down.sql", "0002_more.up.sql", "0002_more.down.sql", "0003_x.up.sql", "0003_x.down.sql",
)

func TestLoad(t *testing.T) {
	all, err := migrate.Load(three)
	if err != nil {
		t.Fatal(err)
	}
	want := []migrate.Migration{
		{Version: 1, Name: "init", Up: "0001_init.up.sql", Down: "0001_init.down.sql"},
		{Version: 2, Name: "more", Up: "0002_more.up.sql", Down: "0002_more.down.sql"},
		{Version: 3, Name: "x", Up: "0003_x.up.sql", Down: "0003_x.down.sql"},
	}
	if !slices.Equal(all, want) {
		t.Errorf("Load: got %v, want %v", all, want)
	}
}

// Only a gapless list of migrations with both directions is accepted. The error names the mistake.
func TestLoadRefuses(t *testing.T) {
	empty := files("0001_init.up.sql", "0001_init.down.sql")
	empty[migrate.Folder+"/0001_init.up.sql"].Data = nil
	for _, c := range []struct {
		what  string
		files fstest.MapFS
		want  string
	}{
		{"no folder", fstest.MapFS{}, migrate.Folder},
		{"no file", fstest.MapFS{migrate.Folder: {Mode: 0o755 | 1<<31}}, "there is none"},
		{"a file that is none", files("0001_init.up.sql", "0001_init.down.sql", "notes.txt"), "notes.txt"},
		{"a short number", files("1_init.up.sql", "1_init.down.sql"), "1_init.down.sql"},
		{"a number beyond all", files("99999999999999999999_x.up.sql"), "99999999999999999999_x.up.sql"},
		{"no way back", files("0001_init.up.sql"), "0001_init.down.sql"},
		{"no way forward", files("0001_init.down.sql"), "0001_init.up.sql"},
		{"an empty file", empty, "0001_init.up.sql"},
		{"a gap", files("0001_init.up.sql", "0001_init.down.sql", "0003_x.up.sql", "0003_x.down.sql"), "0003_x"},
		{"a late start", files("0002_x.up.sql", "0002_x.down.sql"), "0002_x"},
		{"version 0", files("0000_x.up.sql", "0000_x.down.sql"), "0000_x"},
		{"one version twice", files("0001_a.up.sql", "0001_a.down.sql", "0001_b.up.sql", "0001_b.down.sql"), "0001_b"},
		{"two names for one version", files("0001_a.up.sql", "0001_b.down.sql"), "0001_"},
	} {
		if _, err := migrate.Load(c.files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Load with %s: got error %v, want one that says %q", c.what, err, c.want)
		}
	}
}

func TestPlan(t *testing.T) {
	all, err := migrate.Load(three)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to int
		want     string
	}{
		{0, 0, "[]"},
		{3, 3, "[]"},
		{0, 1, "[{init 0 1 0001_init.up.sql}]"},
		{0, 2, "[{init 0 1 0001_init.up.sql} {more 1 2 0002_more.up.sql}]"},
		{1, 3, "[{more 1 2 0002_more.up.sql} {x 2 3 0003_x.up.sql}]"},
		{1, 0, "[{init 1 0 0001_init.down.sql}]"},
		{3, 1, "[{x 3 2 0003_x.down.sql} {more 2 1 0002_more.down.sql}]"},
	} {
		steps, err := migrate.Plan(all, c.from, c.to)
		if got := fmt.Sprint(steps); err != nil || got != c.want {
			t.Errorf("Plan from %d to %d: got %s and error %v, want %s", c.from, c.to, got, err, c.want)
		}
	}
	for _, c := range [][2]int{{4, 3}, {0, 4}, {-1, 1}, {1, -1}} {
		if steps, err := migrate.Plan(all, c[0], c[1]); err == nil || !strings.Contains(err.Error(), "only 0 to 3") {
			t.Errorf("Plan from %d to %d: got %v and error %v, want one that says which versions there are", c[0], c[1], steps, err)
		}
	}
}

// A program suits a schema of its own version, and a later one that says so.
func TestSuits(t *testing.T) {
	for _, c := range []struct {
		schema  migrate.Schema
		program int
		want    bool
	}{
		{migrate.Schema{}, 1, false},
		{migrate.Schema{Version: 1}, 1, true},
		{migrate.Schema{Version: 1}, 2, false},
		{migrate.Schema{Version: 2}, 1, false},
		{migrate.Schema{Version: 3, Oldest: 2}, 1, false},
		{migrate.Schema{Version: 3, Oldest: 2}, 2, true},
		{migrate.Schema{Version: 3, Oldest: 2}, 3, true},
		{migrate.Schema{Version: 3, Oldest: 2}, 4, false},
		{migrate.Schema{Version: 3, Oldest: 3}, 2, false},
	} {
		if got := c.schema.Suits(c.program); got != c.want {
			t.Errorf("%+v suits a program of version %d: got %v, want %v", c.schema, c.program, got, c.want)
		}
	}
}
