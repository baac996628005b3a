package memstore

import (
	"container/heap"
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// job is a stored job, kept small: a store may hold millions. It lies in one object with its steps,
// as an operation among millions waits for every object that it has to fetch from memory.
type job struct {
	header   store.Job
	steps    []stepRow // the rows behind the job, see alloc
	log      history
	counts   *counts                       // of its scope and shard
	requests map[store.RequestID]store.Seq // made when a request is first looked for in a long history
	oldest   *effect                       // unsettled, a list; guarded by the outbox
	newest   *effect
}

// stepRow is a step less what few steps have.
type stepRow struct {
	name         string
	extra        *extra // nil for none
	typ          step.Type
	state        step.State
	ignoreErrors bool
	attempt      int32
	run          store.Run
	succeeded    int32
	unfinished   int32
	started      step.Time
	finished     step.Time
}

// extra is what few steps have, confirmations without list or deadline for instance.
type extra struct {
	payload    string
	confirmers step.Names
	timeout    time.Duration
	onTimeout  step.Decision
	deadline   *deadline // nil for none
	targets    targets
}

var noTargets targets // of a step without extra; never written

// alloc returns a job with this number of steps. With 1 to 6 or 8 rows a job fills its size class, or leaves
// 32 bytes; more rows than that are an object of their own.
func alloc(steps int) *job {
	switch {
	case steps <= 1:
		return together(func(rows *[1]stepRow) []stepRow { return rows[:steps] })
	case steps <= 2:
		return together(func(rows *[2]stepRow) []stepRow { return rows[:steps] })
	case steps <= 3:
		return together(func(rows *[3]stepRow) []stepRow { return rows[:steps] })
	case steps <= 4:
		return together(func(rows *[4]stepRow) []stepRow { return rows[:steps] })
	case steps <= 5:
		return together(func(rows *[5]stepRow) []stepRow { return rows[:steps] })
	case steps <= 6:
		return together(func(rows *[6]stepRow) []stepRow { return rows[:steps] })
	case steps <= 8:
		return together(func(rows *[8]stepRow) []stepRow { return rows[:steps] })
	}
	return &job{steps: make([]stepRow, steps)}
}

// together returns a job with what slice takes of the rows behind it.
func together[R any](slice func(*R) []stepRow) *job {
	o := new(struct {
		job
		rows R
	})
	o.steps = slice(&o.rows)
	return &o.job
}

func newJob(specs []step.Spec) *job {
	j := alloc(len(specs))
	for i := range specs {
		s := &specs[i]
		row := &j.steps[i]
		row.name, row.typ, row.ignoreErrors = s.Name, s.Type, s.IgnoreErrors
		if s.Payload == "" && s.Confirmers == nil && s.Timeout == 0 && s.OnTimeout == 0 && len(s.Targets) == 0 {
			continue
		}
		row.extra = &extra{
			payload: s.Payload, confirmers: step.NamesOf(s.Confirmers), timeout: s.Timeout, onTimeout: s.OnTimeout,
			targets: newTargets(s.Targets),
		}
	}
	return j
}

func (j *job) has(id step.ID) bool { return id >= 1 && id <= step.ID(len(j.steps)) }

// step fills s with the step of this id, which exists, but for its payload.
func (j *job) step(id step.ID, s *store.Step) {
	row := &j.steps[id-1]
	s.ID, s.Type, s.Name, s.IgnoreErrors = id, row.typ, row.name, row.ignoreErrors
	s.State, s.Attempt, s.Run = row.state, row.attempt, row.run
	s.Succeeded, s.Unfinished = row.succeeded, row.unfinished
	s.Started, s.Finished = row.started, row.finished
	if x := row.extra; x != nil {
		s.OnTimeout, s.Timeout, s.Confirmers = x.onTimeout, x.timeout, x.confirmers
		s.Total = int32(x.targets.len())
		if x.deadline != nil {
			s.Deadline = x.deadline.Deadline
		}
	}
}

// setStep takes over where s stands; how it is defined never changes, and its deadline
// is kept with the others.
func (j *job) setStep(s *store.Step) {
	row := &j.steps[s.ID-1]
	row.state, row.attempt, row.run = s.State, s.Attempt, s.Run
	row.succeeded, row.unfinished = s.Succeeded, s.Unfinished
	row.started, row.finished = s.Started, s.Finished
}

func (row *stepRow) targets() *targets {
	if row.extra == nil {
		return &noTargets
	}
	return &row.extra.targets
}

// longHistory is the length from which on requests are found by a map.
const longHistory = 16

// recordOf returns the record that carries request, or nil.
func (j *job) recordOf(request store.RequestID) *store.Record {
	seq := store.Seq(0)
	if j.log.len() < longHistory {
		seq = j.log.find(request)
	} else {
		if j.requests == nil {
			j.requests = j.log.requests()
		}
		seq = j.requests[request]
	}
	if seq == 0 {
		return nil
	}
	r := j.log.at(j.header.ID, seq)
	return &r
}

func (j *job) append(r *store.Record) {
	j.log.append(r)
	if j.requests != nil && r.Request != (store.RequestID{}) {
		j.requests[r.Request] = r.Seq
	}
}

// deadline is one that is set, in its place in a heap.
type deadline struct {
	store.Overdue
	scope store.Scope
	index int
}

// deadlines is a heap of those that are set, of all jobs, the earliest first.
type deadlines struct {
	mu   sync.Mutex // guards all below; taken after that of a shard
	heap deadlineHeap
}

// set takes over the deadline of s, set or not. The job's shard is locked.
func (d *deadlines) set(j *job, s *store.Step) {
	x := j.steps[s.ID-1].extra
	if s.Deadline == 0 && (x == nil || x.deadline == nil) {
		return
	}
	if x == nil {
		x = &extra{}
		j.steps[s.ID-1].extra = x
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Deadline == 0 {
		heap.Remove(&d.heap, x.deadline.index)
		x.deadline = nil
		return
	}
	if x.deadline == nil {
		x.deadline = &deadline{
			Overdue: store.Overdue{Job: j.header.ID, Step: s.ID, Attempt: s.Attempt, Deadline: s.Deadline},
			scope:   j.header.Scope,
		}
		heap.Push(&d.heap, x.deadline)
		return
	}
	x.deadline.Deadline, x.deadline.Attempt = s.Deadline, s.Attempt
	heap.Fix(&d.heap, x.deadline.index)
}

// overdue returns up to limit of those in scope that are not after now, the earliest
// first. It looks at no others than these and their children in the heap.
func (d *deadlines) overdue(scope store.Scope, now step.Time, limit int) []store.Overdue {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []store.Overdue
	front := frontier{heap: d.heap}
	for front.add(0); front.Len() > 0 && len(found) < limit; {
		i := heap.Pop(&front).(int)
		x := d.heap[i]
		if x.Deadline > now {
			break
		}
		if scope.Holds(x.scope) {
			found = append(found, x.Overdue)
		}
		front.add(2*i + 1)
		front.add(2*i + 2)
	}
	return found
}

// frontier is the places of a heap of deadlines that come next when it is read in order.
type frontier struct {
	heap   deadlineHeap
	places []int
}

func (f *frontier) add(i int) {
	if i < len(f.heap) {
		heap.Push(f, i)
	}
}
func (f *frontier) Len() int           { return len(f.places) }
func (f *frontier) Less(a, b int) bool { return f.heap.Less(f.places[a], f.places[b]) }
func (f *frontier) Swap(a, b int)      { f.places[a], f.places[b] = f.places[b], f.places[a] }
func (f *frontier) Push(x any)         { f.places = append(f.places, x.(int)) }
func (f *frontier) Pop() any {
	last := len(f.places) - 1
	i := f.places[last]
	f.places = f.places[:last]
	return i
}

type deadlineHeap []*deadline

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(a, b int) bool { return h[a].Deadline < h[b].Deadline }
func (h deadlineHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a, b
}
func (h *deadlineHeap) Push(x any) {
	d := x.(*deadline)
	d.index = len(*h)
	*h = append(*h, d)
}
func (h *deadlineHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return d
}
