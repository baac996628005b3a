package executor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	seatsOfStops   = 256 // stops at once; each may wait for a function of another process
	seatsOfNotices = 64  // questions at once; and ends, each of which may wait for a function
	claimPause     = 200 * time.Millisecond
	maxWait        = 5 * time.Second // of a claim; a client.Client waits as long for the answer after the end of ctx
	sweepEvery     = time.Second
)

// A process is one call of Run.
type process struct {
	*Executor
	places   *places
	closing  chan struct{}  // closed when Run must end
	handlers sync.WaitGroup // of claimed effects

	mu       sync.Mutex // guards all below
	attempts map[key]*attempt
}

func newProcess(x *Executor) *process {
	return &process{Executor: x, places: newPlaces(&x.config), closing: make(chan struct{}), attempts: map[key]*attempt{}}
}

// run claims until ctx ends, and then drains. Handlers and functions have a context of their own,
// which ends when the drain time is over.
func (p *process) run(ctx context.Context) {
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	var lanes sync.WaitGroup
	for _, l := range p.lanes() {
		lanes.Go(func() { p.claim(ctx, work, l) })
	}
	if sweeper, ok := p.src.(Sweeper); ok {
		lanes.Go(func() { p.sweep(ctx, sweeper) })
	}
	<-ctx.Done()
	p.places.close()
	close(p.closing)
	timer := time.NewTimer(p.drain)
	defer timer.Stop()
	drained := make(chan struct{})
	go func() {
		lanes.Wait() // they add handlers
		p.handlers.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-timer.C:
	}
	end(ErrShutdown)
	<-drained
}

// A lane claims effects of some kinds, so that none waits for one of another lane.
type lane struct {
	kinds []store.Effect
	types step.Types      // of runs and stops
	spare func() int      // number of effects that can be claimed now
	room  <-chan struct{} // told when spare may have grown

	// begin takes a place, and returns a function that carries out one effect and returns the place.
	begin func() func(context.Context, held)
}

// held is a claimed effect and its lease.
type held struct {
	engine.Delivery
	lease *lease
}

func (p *process) lanes() []lane {
	var lanes []lane
	if p.runs() {
		types := p.types()
		lanes = append(lanes,
			lane{[]store.Effect{store.RunTargets}, types, p.places.spare, p.places.room, p.beginRun},
			p.newLane(seatsOfStops, types, p.stop, store.StopAttempt))
	}
	if p.takes(p.asked) {
		lanes = append(lanes, p.newLane(seatsOfNotices, step.Types{}, p.question, store.AskConfirmers))
	}
	if p.takes(p.ended) {
		lanes = append(lanes, p.newLane(seatsOfNotices, step.Types{}, p.jobEnded, store.JobEnded))
	}
	return lanes
}

// newLane returns a lane with a number of places.
func (p *process) newLane(seats int, types step.Types, handle func(context.Context, held), kinds ...store.Effect) lane {
	taken, room := make(chan struct{}, seats), make(chan struct{}, 1)
	return lane{kinds, types, func() int { return seats - len(taken) }, room, func() func(context.Context, held) {
		taken <- struct{}{}
		return func(ctx context.Context, d held) {
			defer func() {
				<-taken
				tell(room)
			}()
			handle(ctx, d)
		}
	}}
}

// claim carries out the effects of a lane, under work, and claims new ones until ctx ends.
func (p *process) claim(ctx, work context.Context, l lane) {
	failures := claimPause
	for ctx.Err() == nil {
		n := l.spare()
		if n <= 0 {
			select {
			case <-l.room:
			case <-ctx.Done():
			}
			continue
		}
		since := time.Now()
		wait := min(p.lease/4, maxWait) // the lease may have begun at the beginning of it
		var due []engine.Delivery
		err := within(ctx, callWait, func(ctx context.Context) (err error) {
			due, err = p.src.Claim(ctx, engine.ClaimQuery{
				Effects: l.kinds, Types: l.types, Lease: p.lease, Limit: min(n, pageSize), Wait: wait,
			})
			return err
		})
		p.handOut(work, l, due, since)
		switch {
		case err != nil && ctx.Err() == nil:
			p.failed(ctx, fmt.Errorf("claim effects: %w", err))
			_ = pause(ctx, failures)
			failures = min(2*failures, 5*time.Second)
			continue
		case len(due) == 0 && time.Since(since) < wait/2: // a source that does not wait
			_ = pause(ctx, claimPause)
		}
		failures = claimPause
	}
}

// handOut carries out effects that were claimed at since, and returns when each of them is held, as
// the next claim could take those whose leases have run out meanwhile.
func (p *process) handOut(ctx context.Context, l lane, due []engine.Delivery, since time.Time) {
	var holding sync.WaitGroup
	for _, d := range due {
		handle := l.begin()
		holding.Add(1)
		p.handlers.Go(func() {
			lease := p.hold(ctx, d, since)
			holding.Done()
			handle(ctx, held{d, lease})
		})
	}
	holding.Wait()
}

// sweep calls s once a second until ctx ends.
func (p *process) sweep(ctx context.Context, s Sweeper) {
	for pause(ctx, sweepEvery) == nil {
		err := within(ctx, callWait, func(ctx context.Context) error {
			_, err := s.Sweep(ctx)
			return err
		})
		if err != nil && ctx.Err() == nil {
			p.failed(ctx, fmt.Errorf("sweep: %w", err))
		}
	}
}

// isClosing reports whether Run must end.
func (p *process) isClosing() bool { return isClosed(p.closing) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
