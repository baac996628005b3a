package storetest

import (
	"context"
	"errors"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// snapshotting breaks Snapshot.
func snapshotting(snap func(ctx context.Context, s store.Store, q store.SnapshotQuery) (store.Snapshot, error)) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.snap = func(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) { return snap(ctx, s, q) }
	})
}

var brokenSnapshots = []Breakage{
	{"case counts", "it looks for a name byte for byte", []string{
		"Jobs/of a name are those whose name contains it, ASCII letters in either case",
	}, searching(func(f *store.JobFilter, name string) bool { return strings.Contains(name, f.Name) })},

	{"page, then name", "it takes a page of all jobs and leaves out other names", []string{
		"Jobs/of a name are those whose name contains it, ASCII letters in either case",
		"Jobs/of a name are looked for among the newest Window that the filter selects",
	}, searching(func(f *store.JobFilter, name string) bool { return f.Named(name) })},

	{"no window", "it looks for a name among all jobs", []string{
		"Jobs/of a name are looked for among the newest Window that the filter selects",
	}, replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			f.Window = most
			return s.Jobs(ctx, f)
		}
	})},

	{"no window below a page", "it looks for a name among all jobs below a page", []string{
		"Jobs/of a name are looked for among the newest Window that the filter selects",
	}, askingForNewest(func(f *store.JobFilter) {
		if f.Name != "" && f.Page.After > 0 {
			f.Window = most
		}
	})},

	{"counts of all", "it counts the jobs of every scope", []string{
		"General/a job of another scope does not exist",
		"Counts/are those of the scope, by state",
	}, replacing(func(s store.Store, p *patch) {
		p.counts = func(ctx context.Context, _ store.Scope, most int) (map[step.State]int, error) {
			return s.Counts(ctx, store.Scope{}, most)
		}
	})},

	{"counts without end", "it counts past most", []string{
		"Counts/are at most most",
	}, replacing(func(s store.Store, p *patch) {
		p.counts = func(ctx context.Context, scope store.Scope, _ int) (map[step.State]int, error) {
			return s.Counts(ctx, scope, most)
		}
	})},

	{"whole steps", "it shows payloads in a snapshot", []string{
		"Snapshot/has the header, all steps without payloads and all targets with names",
		"Details/no other read has a payload",
	}, snapshotting(func(ctx context.Context, s store.Store, q store.SnapshotQuery) (store.Snapshot, error) {
		shown, err := s.Snapshot(ctx, q)
		for i := range shown.Steps {
			withPayload(ctx, s, q.Job, &shown.Steps[i])
		}
		return shown, err
	})},

	{"all targets", "it shows all targets whatever was asked for", []string{
		"Snapshot/has no targets where there are more than asked for",
	}, snapshotting(func(ctx context.Context, s store.Store, q store.SnapshotQuery) (store.Snapshot, error) {
		q.Targets = most
		return s.Snapshot(ctx, q)
	})},

	{"some targets", "it shows as many targets as were asked for", []string{
		"Snapshot/has no targets where there are more than asked for",
	}, snapshotting(func(ctx context.Context, s store.Store, q store.SnapshotQuery) (store.Snapshot, error) {
		asked := q.Targets
		q.Targets = most
		shown, err := s.Snapshot(ctx, q)
		shown.Targets = shown.Targets[:min(asked, len(shown.Targets))]
		return shown, err
	})},

	{"no snapshot, no job", "it shows nothing of a job that does not exist, and no error", []string{
		"Snapshot/of a job that does not exist is not found",
	}, snapshotting(func(ctx context.Context, s store.Store, q store.SnapshotQuery) (store.Snapshot, error) {
		shown, err := s.Snapshot(ctx, q)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return shown, err
	})},

	{"torn snapshot", "it reads the targets when the job has moved on", []string{
		"Snapshot/is of one moment",
	}, snapshotting(func(ctx context.Context, s store.Store, q store.SnapshotQuery) (store.Snapshot, error) {
		shown, err := s.Snapshot(ctx, q)
		letMove(ctx, s, shown.Job)
		later, _ := s.Snapshot(ctx, q)
		shown.Targets = later.Targets
		return shown, err
	})},
}

// searching breaks the search for a name: it searches only the page that a read without a name
// returns.
func searching(named func(f *store.JobFilter, name string) bool) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			asked := f
			f.Name = ""
			jobs, err := s.Jobs(ctx, f)
			if asked.Name == "" {
				return jobs, err
			}
			var some []store.Job
			for _, j := range jobs {
				if named(&asked, j.Name) {
					some = append(some, j)
				}
			}
			return some, err
		}
	})
}
