package storetest

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A turnBook is a store that keeps the turns of jobs by itself, in the simplest way, and leaves the
// rest to another store. Each of its rules can be broken.
type turnBook struct {
	store.Store
	mu    sync.Mutex  // guards all below
	lines []*turnLine // of all jobs with a turn or a place, in the order of their last move
	rules turnRules
}

// turnRules are the rules of a turnBook. Those of a good one are all false.
type turnRules struct {
	anyTake   bool // takes pass whatever is free
	anyWait   bool // jobs wait though a turn is free
	overtakes bool // a free turn is for every job
	backwards bool // the last that waits comes first
	sleeps    bool // nothing is due
	early     bool // the first that waits is due at once
	once      bool // only those that had a turn wake another job
	narrow    bool // the limit is 1 more than it says
	holds     bool // who ends keeps their turn
	stays     bool // who leaves the queue keeps their place
	keepsOld  bool // who waits again keeps their turn or place
	oneScope  bool // keys of all scopes are one
	oldStep   bool // what is due is the step that began to wait
	blind     bool // no view shows a free turn
	loses     bool // a change that moves no turn drops it
	unlocked  bool // the condition is looked at before the commit, and not with it
}

type turnLine struct {
	job     store.Job
	holds   bool
	due     step.Time
	attempt int32
}

// keepingTurns breaks the turns of a store.
func keepingTurns(rules turnRules) func(store.Store) store.Store {
	return func(s store.Store) store.Store { return &turnBook{Store: s, rules: rules} }
}

// rivals returns the lines of a job's key: those of others that hold, and those that wait, in order.
func (b *turnBook) rivals(job *store.Job) (holders int32, waiting []*turnLine) {
	for _, l := range b.lines {
		switch {
		case l.job.Policy.Turn.Key != job.Policy.Turn.Key || l.job.Scope != job.Scope && !b.rules.oneScope:
		case !l.holds:
			waiting = append(waiting, l)
		case l.job.ID != job.ID:
			holders++
		}
	}
	if b.rules.backwards {
		slices.Reverse(waiting)
	}
	return holders, waiting
}

func (b *turnBook) free(job *store.Job) bool {
	if job.Policy == nil || job.Policy.Turn.Key == "" {
		return false
	}
	limit := job.Policy.Turn.Limit
	if b.rules.narrow {
		limit++
	}
	holders, waiting := b.rivals(job)
	return holders < limit && (b.rules.overtakes || len(waiting) == 0 || waiting[0].job.ID == job.ID)
}

func (b *turnBook) Commit(ctx context.Context, c store.Change) error {
	if err := c.Check(); err != nil || c.Job.Policy == nil {
		return cmp.Or(err, b.Store.Commit(ctx, c))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m, free := c.Turn, b.free(&c.Job)
	if m == store.TakeTurn && !free && !b.rules.anyTake || m == store.WaitTurn && free && !b.rules.anyWait {
		return store.ErrConflict
	}
	c.Turn = store.NoTurn
	if b.rules.unlocked {
		b.mu.Unlock()
		letOthers()
	}
	err := b.Store.Commit(ctx, c)
	if b.rules.unlocked {
		b.mu.Lock()
	}
	if err == nil {
		b.note(&c, m)
	}
	return err
}

// note enters a change into the book.
func (b *turnBook) note(c *store.Change, m store.TurnMove) {
	i := slices.IndexFunc(b.lines, func(l *turnLine) bool { return l.job.ID == c.Job.ID })
	had := i >= 0 && b.lines[i].holds
	attempt := c.Steps[len(c.Steps)-1].Attempt
	kept := m == store.LeaveTurn && (had && b.rules.holds || !had && b.rules.stays) || m == store.WaitTurn && b.rules.keepsOld
	switch {
	case i < 0:
	case m == store.NoTurn && !b.rules.loses:
		if !b.rules.oldStep {
			b.lines[i].job, b.lines[i].attempt = c.Job, attempt
		}
		return
	case !kept:
		b.lines = slices.Delete(b.lines, i, i+1)
	default:
		return
	}
	if m == store.TakeTurn || m == store.WaitTurn {
		b.lines = append(b.lines, &turnLine{job: c.Job, holds: m == store.TakeTurn, attempt: attempt})
	}
	if m == store.NoTurn || b.rules.sleeps || b.rules.once && !had {
		return
	}
	if _, waiting := b.rivals(&c.Job); len(waiting) > 0 && waiting[0].due == 0 && (b.rules.early || b.free(&waiting[0].job)) {
		waiting[0].due = c.Job.Updated
	}
}

func (b *turnBook) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := b.Store.View(ctx, q)
	b.mu.Lock()
	defer b.mu.Unlock()
	v.Turn = err == nil && !b.rules.blind && b.free(&v.Job)
	return v, err
}

func (b *turnBook) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	found, err := b.Store.Overdue(ctx, scope, now, limit)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if l.due != 0 && l.due <= now && scope.Holds(l.job.Scope) && err == nil {
			found = append(found, store.Overdue{Job: l.job.ID, Step: l.job.Current, Attempt: l.attempt, Due: l.due})
		}
	}
	slices.SortStableFunc(found, func(a, b store.Overdue) int { return cmp.Compare(a.Due, b.Due) })
	return found[:min(len(found), limit)], err
}

var brokenTurns = []Breakage{
	{"two in at once", "it lets a job take a turn that another one has", []string{
		"Turn/is free while fewer than the limit have one",
		"Turn/of many that take the last ones at once as many pass",
		"Turn/is not free for a job that comes while others wait",
		"Turn/any course of moves leads where the rules say",
	}, keepingTurns(turnRules{anyTake: true})},

	{"counts and then commits", "it looks for a free turn before the commit, and not with it", []string{
		"Turn/of many that take the last ones at once as many pass",
	}, keepingTurns(turnRules{unlocked: true})},

	{"one more", "it counts one turn too many", []string{
		"Turn/is free while fewer than the limit have one",
		"Turn/each job has a limit of its own, and holds up those behind it",
	}, keepingTurns(turnRules{narrow: true})},

	{"waits beside a free turn", "it lets a job wait for a turn that became free meanwhile, so that it is never woken", []string{
		"Turn/a job begins to wait only if none is free",
		"Turn/a move counts whatever the job had before",
	}, keepingTurns(turnRules{anyWait: true})},

	{"overtaken", "it gives a free turn to whichever job comes", []string{
		"Turn/is not free for a job that comes while others wait",
		"Turn/comes to jobs in the order in which they began to wait",
		"Turn/each job has a limit of its own, and holds up those behind it",
	}, keepingTurns(turnRules{overtakes: true})},

	{"last come first served", "its queue is a stack", []string{
		"Turn/comes to jobs in the order in which they began to wait",
	}, keepingTurns(turnRules{backwards: true})},

	{"never wakes", "it does not tell the first that waits of a free turn", []string{
		"Turn/that became free is due for the first that waits, from the time of the commit",
		"Turn/a job that leaves the queue makes way for the next",
		"Turn/more room than one job needs is due for the next",
	}, keepingTurns(turnRules{sleeps: true})},

	{"wakes at once", "the first that waits is due while all turns are taken", []string{
		"Turn/that became free is due for the first that waits, from the time of the commit",
		"Turn/a job begins to wait only if none is free",
	}, keepingTurns(turnRules{early: true})},

	{"wakes once", "a job that leaves the queue, or finds more room, wakes no other", []string{
		"Turn/a job that leaves the queue makes way for the next",
		"Turn/more room than one job needs is due for the next",
	}, keepingTurns(turnRules{once: true})},

	{"holder forgotten", "a job that has ended keeps its turn", []string{
		"Turn/a job can always leave, with or without a turn",
		"Turn/that became free is due for the first that waits, from the time of the commit",
	}, keepingTurns(turnRules{holds: true})},

	{"place kept", "a job that has left the queue keeps its place in it", []string{
		"Turn/a job can always leave, with or without a turn",
		"Turn/a job that leaves the queue makes way for the next",
	}, keepingTurns(turnRules{stays: true})},

	{"old place", "a job that waits anew keeps what it had", []string{
		"Turn/a move counts whatever the job had before",
	}, keepingTurns(turnRules{keepsOld: true})},

	{"one key for all scopes", "it does not look at the scope of a key", []string{
		"Turn/keys and scopes are apart",
	}, keepingTurns(turnRules{oneScope: true})},

	{"old step", "the step that it wakes is the one that began to wait", []string{
		"Turn/is kept, and so is a place, by a change that does not move it",
	}, keepingTurns(turnRules{oldStep: true})},

	{"turn lost", "a change that does not move a turn gives it back", []string{
		"Turn/is kept, and so is a place, by a change that does not move it",
	}, keepingTurns(turnRules{loses: true})},

	{"blind to turns", "no view shows that a turn is free", []string{
		"Turn/is free while fewer than the limit have one",
		"Turn/that became free is due for the first that waits, from the time of the commit",
	}, keepingTurns(turnRules{blind: true})},

	{"turns of a crowd", "it fails a commit that meets another one of the same key", []string{
		"Turn/moves of many jobs at once go through",
	}, func(s store.Store) store.Store {
		var busy sync.Map
		return replacing(func(s store.Store, p *patch) {
			p.commit = func(ctx context.Context, c store.Change) error {
				if c.Turn == store.NoTurn {
					return s.Commit(ctx, c)
				}
				key := c.Job.Policy.Turn.Key
				if _, met := busy.LoadOrStore(key, true); met {
					return context.DeadlineExceeded
				}
				defer busy.Delete(key)
				letOthers()
				return s.Commit(ctx, c)
			}
		})(s)
	}},
}
