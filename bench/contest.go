package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A subject is one entrant of a contest, ready to be measured.
type subject struct {
	name string
	unit string // name of its operation, if it differs from that of the others

	// op is one call of a caller. Callers call it at once, each one call after another. n counts
	// the calls of a turn from 0, and leaves some out after a pause.
	op    func(ctx context.Context, caller, n int) error
	times int // operations per call of op; 0 stands for 1

	// begin and end, if not nil, are called before and after each turn, outside the timed part. A
	// subject works in the background only between the two.
	begin func(ctx context.Context) error
	end   func(ctx context.Context) error

	// pause, if not nil, is called outside the timed part whenever each caller has made every
	// calls.
	pause func(ctx context.Context) error
	every int

	// turn, if not nil, replaces op: it measures itself for that long.
	turn func(ctx context.Context, callers int, each time.Duration) (sample, error)

	// close, if not nil, ends the subject and removes its data.
	close func() error
}

// A contest measures its subjects in turns. In each round each subject has one turn, and each
// round begins with another subject.
type contest struct {
	callers  int           // concurrent
	cores    int           // GOMAXPROCS meanwhile; 0 leaves it
	rounds   int           // turns of each subject
	warm     time.Duration // of a subject before its turn, unmeasured
	each     time.Duration // of a turn
	subjects []subject
}

// A sample is the result of one turn.
type sample struct {
	perSecond float64
	p50, p99  time.Duration // of one operation, for its caller; 0 if not known
	allocs    float64       // allocations of this process for one operation; NaN if not known
}

// A result is the result of a contest for one subject: one sample per round.
type result struct {
	name    string
	unit    string
	samples []sample
	failed  error // why there are no more samples
}

// patience is how long a turn may exceed its time, for calls under way.
const patience = 20 * time.Second

// run measures the subjects and closes them. A subject that fails has no further turn, and its
// result says so; the error is ctx's, or that of a close.
func (c contest) run(ctx context.Context) (results []result, err error) {
	defer func() {
		for _, s := range c.subjects {
			if s.close != nil {
				err = errors.Join(err, s.close())
			}
		}
	}()
	if c.cores > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.cores))
	}
	results = make([]result, len(c.subjects))
	for i, s := range c.subjects {
		results[i] = result{name: s.name, unit: s.unit}
	}
	for round := range c.rounds {
		for i := range c.subjects {
			i = (i + round) % len(c.subjects)
			if results[i].failed != nil {
				continue
			}
			got, err := c.turn(ctx, c.subjects[i])
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				results[i].failed = err
				continue
			}
			results[i].samples = append(results[i].samples, got)
		}
	}
	return results, nil
}

// turn measures s once.
func (c contest) turn(ctx context.Context, s subject) (got sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.warm+c.each+patience, fmt.Errorf("its turn had not ended after %v", patience))
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	if s.begin != nil {
		if err := s.begin(ctx); err != nil {
			return sample{}, err
		}
	}
	if s.end != nil {
		defer func() { err = errors.Join(err, s.end(context.WithoutCancel(ctx))) }()
	}
	if s.turn != nil {
		return s.turn(ctx, c.callers, c.each)
	}
	if c.warm > 0 {
		if _, err := c.measure(ctx, s, c.warm); err != nil {
			return sample{}, err
		}
	}
	runtime.GC() // s does not pay for the garbage of others
	return c.measure(ctx, s, c.each)
}

// measure makes the callers call s.op for a time, in slices with a pause after each.
func (c contest) measure(ctx context.Context, s subject, each time.Duration) (sample, error) {
	var (
		took   time.Duration
		allocs uint64
		calls  = make([][]time.Duration, c.callers)
	)
	for n := 0; took < each; n += s.every {
		before := mallocs()
		began := time.Now()
		err := c.slice(ctx, s, n, began.Add(each-took), calls)
		took += time.Since(began)
		allocs += mallocs() - before
		if err == nil && s.pause != nil {
			err = s.pause(ctx)
		}
		if err != nil {
			return sample{}, err
		}
		if s.every == 0 {
			break
		}
	}
	all := slices.Concat(calls...)
	slices.Sort(all)
	times := max(s.times, 1)
	operations := float64(len(all) * times)
	return sample{
		perSecond: operations / took.Seconds(),
		p50:       percentile(all, 50) / time.Duration(times),
		p99:       percentile(all, 99) / time.Duration(times),
		allocs:    float64(allocs) / operations,
	}, nil
}

// slice makes each caller call until it has made s.every calls or the time is over, and adds the
// durations. A caller makes at least one call, and completes each call.
func (c contest) slice(ctx context.Context, s subject, first int, late time.Time, calls [][]time.Duration) error {
	var callers sync.WaitGroup
	errs := make([]error, c.callers)
	for caller := range c.callers {
		callers.Go(func() {
			began := time.Now()
			for n := 0; s.every == 0 || n < s.every; n++ {
				if err := s.op(ctx, caller, first+n); err != nil {
					errs[caller] = err
					return
				}
				ended := time.Now()
				calls[caller] = append(calls[caller], ended.Sub(began))
				if began = ended; ended.After(late) {
					return
				}
			}
		})
	}
	callers.Wait()
	return errors.Join(errs...)
}

// mallocs returns how many objects this process has allocated.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// percentile returns the smallest of the sorted durations that at least p percent do not exceed; 0 of
// none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// median returns the middle one, or the mean of the middle two; NaN of none.
func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	if n == 0 {
		return nan
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// typical returns the median over the rounds of what get takes from a sample.
func (r result) typical(get func(sample) float64) float64 {
	var all []float64
	for _, s := range r.samples {
		all = append(all, get(s))
	}
	return median(all)
}

func (r result) perSecond() float64 { return r.typical(func(s sample) float64 { return s.perSecond }) }
func (r result) allocs() float64    { return r.typical(func(s sample) float64 { return s.allocs }) }
func (r result) p50() time.Duration {
	return time.Duration(r.typical(func(s sample) float64 { return float64(s.p50) }))
}
func (r result) p99() time.Duration {
	return time.Duration(r.typical(func(s sample) float64 { return float64(s.p99) }))
}

// ratio returns the operations per second of r divided by those of base: the median over the rounds
// in which both have a sample, or NaN.
func ratio(r, base result) float64 {
	var all []float64
	for i := range min(len(r.samples), len(base.samples)) {
		all = append(all, r.samples[i].perSecond/base.samples[i].perSecond)
	}
	return median(all)
}

// named returns the result of a name, which must exist.
func named(results []result, name string) result {
	return results[slices.IndexFunc(results, func(r result) bool { return r.name == name })]
}

// inParallel calls f with 0 to n-1, concurrently, and returns their errors.
func inParallel(atOnce, n int, f func(i int) error) error {
	var all sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, atOnce)
	for worker := range atOnce {
		all.Go(func() {
			for errs[worker] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[worker] = f(i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
