package stores_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/test/stores"
)

// How much longer does a call about a job of another scope take than one about an unused id? The
// medians of alternating calls; -benchtime=10000x makes 10,000 of each.
func BenchmarkAnotherScope(b *testing.B) {
	other := store.Scope{Type: "biz", ID: "3"}
	for _, s := range stores.Each() {
		b.Run(s.Name, func(b *testing.B) {
			st := s.Open(b)
			var jobs []store.JobID
			for range 200 {
				jobs = append(jobs, finished(b, st, 3, 5))
			}
			for _, read := range []struct {
				name string
				call func(ctx context.Context, id store.JobID) error
			}{
				{"View", func(ctx context.Context, id store.JobID) error {
					_, err := st.View(ctx, store.Query{Scope: other, Job: id})
					return err
				}},
				{"Snapshot", func(ctx context.Context, id store.JobID) error {
					_, err := st.Snapshot(ctx, store.SnapshotQuery{Scope: other, Job: id, Targets: 100})
					return err
				}},
				{"Steps", func(ctx context.Context, id store.JobID) error {
					_, err := st.Steps(ctx, other, id, store.Page[step.ID]{Limit: 100})
					return err
				}},
				{"Targets", func(ctx context.Context, id store.JobID) error {
					_, err := st.Targets(ctx, store.TargetFilter{Scope: other, Job: id, Step: 1, Page: store.Page[int32]{After: -1, Limit: 100}})
					return err
				}},
				{"History", func(ctx context.Context, id store.JobID) error {
					_, err := st.History(ctx, other, id, store.Page[store.Seq]{Limit: 100})
					return err
				}},
				{"Effects", func(ctx context.Context, id store.JobID) error {
					_, err := st.Effects(ctx, other, id, store.Page[store.Seq]{Limit: 100})
					return err
				}},
			} {
				b.Run(read.name, func(b *testing.B) {
					var took [2][]time.Duration
					b.ReportAllocs()
					for b.Loop() {
						for i := range took {
							id := jobs[len(took[0])%len(jobs)] + store.JobID(i) // of another scope, and unused
							began := time.Now()
							err := read.call(b.Context(), id)
							took[i] = append(took[i], time.Since(began))
							if !errors.Is(err, store.ErrNotFound) {
								b.Fatal(err)
							}
						}
					}
					scope, unused := median(took[0]), median(took[1])
					b.ReportMetric(float64(scope)/1e3, "scope-us")
					b.ReportMetric(float64(unused)/1e3, "unused-us")
					b.ReportMetric(float64(scope)/float64(unused), "scope/unused")
				})
			}
		})
	}
}
