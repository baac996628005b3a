package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// An act is an act on a step.
type act int

const (
	retrying act = iota // the failed targets are retried
	batch               // they fail again, in one report
	single              // they fail again, with one report for each
	acts                // the number of acts
)

var actTitles = [acts]string{"A retry of what has failed", "The results of the retry, in one report", "The results of the retry, one by one"}

func (a act) do(ctx context.Context, r *retrier, failed []int32) error {
	switch a {
	case retrying:
		return r.retry(ctx)
	case batch:
		return r.report(ctx, failed...)
	}
	for _, target := range failed {
		if err := r.report(ctx, target); err != nil {
			return err
		}
	}
	return nil
}

// A writing is the rows, the bytes and the durations of the repetitions of one act.
type writing struct {
	seconds         []float64
	rows, log, disk []float64
	fresh           []float64 // the log if a checkpoint came before
}

// time does an act and notes its duration.
func (w *writing) time(ctx context.Context, r *retrier, a act, failed []int32) error {
	began := time.Now()
	err := a.do(ctx, r, failed)
	w.seconds = append(w.seconds, since(began).Seconds())
	return err
}

// note does an act and notes its writes.
func (w *writing) note(ctx context.Context, r *retrier, a act, failed []int32) error {
	var before, after [3]float64
	read := func(into *[3]float64) (err error) {
		for i, get := range []func(context.Context) (float64, error){r.rows, r.log, r.disk} {
			if into[i], err = get(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	if r.tidy != nil {
		if err := r.tidy(ctx); err != nil {
			return err
		}
	}
	if err := read(&before); err != nil {
		return err
	}
	if err := a.do(ctx, r, failed); err != nil {
		return err
	}
	if err := read(&after); err != nil {
		return err
	}
	w.rows, w.log, w.disk = append(w.rows, after[0]-before[0]), append(w.log, after[1]-before[1]), append(w.disk, after[2]-before[2])
	return nil
}

// noteFresh does an act after a checkpoint and notes its bytes in the log.
func (w *writing) noteFresh(ctx context.Context, r *retrier, a act, failed []int32) error {
	if err := r.checkpoint(ctx); err != nil {
		return err
	}
	before, err := r.log(ctx)
	if err == nil {
		err = a.do(ctx, r, failed)
	}
	if err != nil {
		return err
	}
	after, err := r.log(ctx)
	w.fresh = append(w.fresh, after-before)
	return err
}

// A tally is the writes of one retrier.
type tally struct {
	name   string
	model  bool   // the model that the tally before it is compared with
	absent string // why it ended early
	on     *retrier
	acts   [acts]writing
}

// A round of either kind retries a step and reports on it, twice.
var round = [...]act{retrying, batch, retrying, single}

// time measures a round.
func (t *tally) time(ctx context.Context, failed []int32) error {
	for _, a := range round {
		if err := t.acts[a].time(ctx, t.on, a, failed); err != nil {
			return fmt.Errorf("%s: %w", actTitles[a], err)
		}
	}
	return nil
}

// count counts the writes of a round and, where that differs, those after a checkpoint.
func (t *tally) count(ctx context.Context, failed []int32) error {
	for _, a := range round {
		if err := t.acts[a].note(ctx, t.on, a, failed); err != nil {
			return fmt.Errorf("%s: %w", actTitles[a], err)
		}
	}
	if t.on.checkpoint == nil {
		return nil
	}
	for _, a := range []act{retrying, batch} {
		if err := t.acts[a].noteFresh(ctx, t.on, a, failed); err != nil {
			return fmt.Errorf("%s, after a checkpoint: %w", actTitles[a], err)
		}
	}
	return nil
}

// warm does a round without measuring it.
func (t *tally) warm(ctx context.Context, failed []int32) error {
	for _, a := range round {
		if err := a.do(ctx, t.on, failed); err != nil {
			return fmt.Errorf("%s: %w", actTitles[a], err)
		}
	}
	return nil
}

// written measures how many rows and bytes a retry writes, and how many the reports of its results.
func written(ctx context.Context, r *run) (s section, err error) {
	targets, timed, counted := 100_000, 6, 3
	if r.quick {
		targets, timed, counted = 2000, 2, 1
	}
	var failed []int32
	for i := range targets {
		if fails(i, targets) {
			failed = append(failed, int32(i))
		}
	}
	tallies := r.tallies(ctx, targets)
	defer func() {
		for _, t := range tallies {
			if t.on != nil {
				err = errors.Join(err, t.on.close())
			}
		}
	}()
	if err := r.settled(ctx); err != nil {
		return s, err
	}
	for n := range 1 + timed + counted { // counting comes last, because it disturbs
		for i := range tallies {
			t := &tallies[(i+n)%len(tallies)]
			if t.absent != "" {
				continue
			}
			do := t.time
			switch {
			case n == 0:
				do = t.warm // the first change of a page after a checkpoint logs the whole page
			case n > timed:
				do = t.count
			}
			if err := do(ctx, failed); err != nil {
				t.absent = err.Error()
			}
		}
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
	}
	return writtenSection(tallies, targets, len(failed), timed, counted), nil
}

// tallies opens the retriers for steps with the given number of targets, and leaves out those that fail to open.
func (r *run) tallies(ctx context.Context, targets int) []tally {
	opening := []struct {
		name, absent string
		model        bool
		open         func(context.Context, int) (*retrier, error)
	}{
		{postgresName, r.noPostgres(), false, r.stepgateOnPostgres},
		{"a row per target, PostgreSQL", r.noPostgres(), true, r.modelOnPostgres},
		{sqliteName, "", false, r.stepgateOnSQLite},
		{"a row per target, SQLite", "", true, r.modelOnSQLite},
	}
	tallies := make([]tally, len(opening))
	for i, o := range opening {
		t := &tallies[i]
		*t = tally{name: o.name, absent: o.absent, model: o.model}
		if t.absent != "" {
			continue
		}
		var err error
		if t.on, err = o.open(ctx, targets); err != nil {
			t.absent = err.Error()
		}
	}
	return tallies
}

// writtenSection returns the section with the results of the rounds.
func writtenSection(tallies []tally, targets, failed, timed, counted int) section {
	s := section{
		title: "What a retry writes",
		words: []string{
			fmt.Sprintf("Of %s targets %s have failed, and are retried. The model beside Stepgate is that of the platform whose API it implements: a row for every target of every attempt, so that an attempt begins with a copy of all rows. The model here has five small tables with no index but their keys: one statement on PostgreSQL, one transaction on SQLite, `INSERT ... SELECT`, with a record, an effect and a check of the state, as Stepgate has them. It has no request ids, by which Stepgate carries out a request once, and writes no record of a report that ends nothing.", whole(targets), whole(failed)),
			fmt.Sprintf("Rows are those that the database counts as inserted, updated or deleted (`pg_stat_user_tables`, `total_changes()`); an update counts once. The log is the growth of the write-ahead log, which is flushed before the answer: the distance of `pg_current_wal_insert_lsn()`, which includes all other work of the server meanwhile, and of Stepgate the `NOTIFY` after a commit; the frames of SQLite's log, which are whole pages. After a checkpoint PostgreSQL logs the whole page at the first change of each. The growth of tables is that of `pg_total_relation_size` or of SQLite's file, indices included. Times are the median of %d rounds, in which all rows of the table take turns, rows and bytes of %d rounds of their own; the growth is the mean of these. A retry comes twice in a round.", timed, counted),
		},
	}
	for a, title := range actTitles {
		t := table{title: title, head: []string{"", "rows", "log", "log after a checkpoint", "tables grow by", "time"}}
		for i := range tallies {
			w := &tallies[i].acts[a]
			t.rows = append(t.rows, append([]string{tallies[i].name}, w.cells()...))
			if tallies[i].model {
				t.rows = append(t.rows, append([]string{"Stepgate / a row per target"}, tallies[i-1].acts[a].fractions(w)...))
			}
			if a == 0 && tallies[i].absent != "" {
				t.note += fmt.Sprintf("Not measured: *%s*: %s. ", tallies[i].name, tallies[i].absent)
			}
		}
		t.note = strings.TrimSpace(t.note)
		s.tables = append(s.tables, t)
	}
	s.words = append(s.words, together(tallies), modelAhead(tallies))
	brief := s.tables[retrying]
	brief.note = strings.TrimSpace(brief.note + "\n\n" + modelAhead(tallies))
	brief.title = fmt.Sprintf("What a retry of %s failed among %s targets writes", whole(failed), whole(targets))
	s.brief = []table{brief}
	return s
}

// cells returns a writing as cells of a table.
func (w *writing) cells() []string {
	return []string{rowCount(median(w.rows)), bytesOf(median(w.log)), bytesOf(median(w.fresh)), bytesOf(mean(w.disk)), timeOf(median(w.seconds))}
}

// rowCount returns a number of rows; a dash if it is not known.
func rowCount(n float64) string {
	if n == math.Trunc(n) {
		return whole(int(n))
	}
	return count(n)
}

// fractions returns w as a fraction of the model's.
func (w *writing) fractions(model *writing) []string {
	return []string{
		factor(median(w.rows) / median(model.rows)), factor(median(w.log) / median(model.log)),
		factor(median(w.fresh) / median(model.fresh)), factor(mean(w.disk) / mean(model.disk)), factor(medianRatio(w.seconds, model.seconds)),
	}
}

// modelAhead says where the model writes less or takes less time.
func modelAhead(tallies []tally) string {
	var all []string
	for a, title := range actTitles {
		for i := range tallies {
			if !tallies[i].model {
				continue
			}
			mine, its := &tallies[i-1].acts[a], &tallies[i].acts[a]
			var more []string
			for _, f := range []struct {
				of    string
				times float64
			}{
				{"rows", median(mine.rows) / median(its.rows)},
				{"log", median(mine.log) / median(its.log)},
				{"time", medianRatio(mine.seconds, its.seconds)},
			} {
				if f.times > level {
					more = append(more, factor(f.times)+" times the "+f.of)
				}
			}
			if more != nil {
				all = append(all, fmt.Sprintf("%s, %s: %s", lowered(title), tallies[i-1].name, strings.Join(more, ", ")))
			}
		}
	}
	if all == nil {
		return "The model is ahead nowhere."
	}
	return "**The model is ahead** where Stepgate takes more than it: " + strings.Join(all, "; ") +
		". Each report to Stepgate makes a record of the history and a new version of the job, and changes the sets of due targets; the model only marks the rows that it has copied."
}

// together returns a sentence on the writes of a retry and its results.
func together(tallies []tally) string {
	var all []string
	for i := range tallies {
		retry, results := &tallies[i].acts[retrying], &tallies[i].acts[batch]
		if len(results.rows) > 0 {
			all = append(all, fmt.Sprintf("%s %s rows and %s of log, in %s", tallies[i].name, rowCount(median(retry.rows)+median(results.rows)),
				bytesOf(median(retry.log)+median(results.log)), timeOf(median(retry.seconds)+median(results.seconds))))
		}
	}
	if all == nil {
		return "Nothing was measured."
	}
	return "A retry and its results in one report together take " + strings.Join(all, "; ") + "."
}

// lowered returns a title as it stands within a sentence.
func lowered(title string) string { return strings.ToLower(title[:1]) + title[1:] }

func mean(all []float64) float64 {
	sum := 0.0
	for _, x := range all {
		sum += x
	}
	return sum / float64(len(all))
}

// bytesOf returns a number of bytes in three digits and one unit.
func bytesOf(n float64) string {
	switch {
	case n < 0 || n >= 1e6:
		return count(n/1e6) + " MB"
	case n >= 1000:
		return count(n/1e3) + " kB"
	case n == n:
		return count(n) + " B"
	}
	return count(n)
}
