package memstore

import (
	"cmp"
	"container/heap"
	"slices"
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// job is a stored job, kept small as a store may have millions. Job and steps are one object, since
// among millions an operation waits for memory once per object.
type job struct {
	header   store.Job
	steps    []stepRow // the rows behind the job, see alloc
	log      history
	counts   *counts                       // of its scope and shard
	requests map[store.RequestID]store.Seq // made when a request is first looked for in a long history
	oldest   *effect                       // unsettled, a list; guarded by the outbox
	newest   *effect
}

// stepRow is a step without the fields that few steps use.
type stepRow struct {
	name         string
	extra        *extra // nil for none
	typ          step.Type
	state        step.State
	ignoreErrors bool
	attempt      int32
	full         int32
	succeeded    int32
	unfinished   int32
	started      step.Time
	finished     step.Time
}

// extra has the fields that few steps use; a confirmation without list and deadline uses none.
type extra struct {
	payload    string
	confirmers step.Names
	timeout    time.Duration
	onTimeout  step.Decision
	deadline   step.Time
	due        *due    // nil for none
	course     *course // nil for a step without a policy that never met a gate
	targets    targets
}

// course has what moves a step by itself.
type course struct {
	policy     *step.Policy
	first, end int32 // of the run's window
	gate       store.Gate
	expires    step.Time
	batch      int32
	before     int32
	accepted   int32
	automatic  int32
	mendable   bool
	stopBefore bool
	batches    []store.Batch // that have begun, by number
}

var noTargets targets // of a step without extra; never written

// alloc returns a job with this number of steps. With 1 to 6 or 8 rows a job fills its size class,
// or leaves 32 bytes; more rows than that are an object of their own.
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

// together returns a job with the steps that slice takes from the rows behind it.
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
		policy := s.Policy()
		if s.Payload == "" && s.Confirmers == nil && s.Timeout == 0 && s.OnTimeout == 0 && len(s.Targets) == 0 && policy == nil {
			continue
		}
		row.extra = &extra{
			payload: s.Payload, confirmers: step.NamesOf(s.Confirmers), timeout: s.Timeout, onTimeout: s.OnTimeout,
			targets: newTargets(s.Targets),
		}
		if policy != nil {
			row.extra.course = &course{policy: policy}
		}
	}
	return j
}

// head returns the header, which shares no memory with j that can be written.
func (j *job) head() store.Job {
	head := j.header
	head.Policy = head.Policy.Clone()
	return head
}

func (j *job) has(id step.ID) bool { return id >= 1 && id <= step.ID(len(j.steps)) }

// step sets s to the step of this id, which exists, without its payload.
func (j *job) step(id step.ID, s *store.Step) {
	row := &j.steps[id-1]
	s.ID, s.Type, s.Name, s.IgnoreErrors = id, row.typ, row.name, row.ignoreErrors
	s.State, s.Attempt, s.Run.Full = row.state, row.attempt, row.full
	s.Succeeded, s.Unfinished = row.succeeded, row.unfinished
	s.Started, s.Finished = row.started, row.finished
	if x := row.extra; x != nil {
		s.OnTimeout, s.Timeout, s.Confirmers = x.onTimeout, x.timeout, x.confirmers
		s.Total = int32(x.targets.len())
		s.Deadline = x.deadline
		if x.due != nil {
			s.Due = x.due.Due
		}
		if c := x.course; c != nil {
			c.show(s)
		}
	}
}

// show sets the fields of s that c has.
func (c *course) show(s *store.Step) {
	s.Policy, s.StopBefore, s.Gate, s.Expires = c.policy.Clone(), c.stopBefore, c.gate, c.expires
	s.Run.First, s.Run.End, s.Batch = c.first, c.end, c.batch
	s.Before, s.Accepted, s.Automatic, s.Mendable = c.before, c.accepted, c.automatic, c.mendable
}

// courseOf returns what moves s by itself, without its batches, and whether there is anything.
func courseOf(s *store.Step) (c course, some bool) {
	c = course{
		policy: s.Policy, stopBefore: s.StopBefore, gate: s.Gate, expires: s.Expires,
		first: s.Run.First, end: s.Run.End, batch: s.Batch,
		before: s.Before, accepted: s.Accepted, automatic: s.Automatic, mendable: s.Mendable,
	}
	some = c.policy != nil || c.stopBefore || c.gate != store.Gate{} || c.automatic != 0 || c.accepted != 0
	return c, some
}

// setStep takes over the state of s; its definition never changes, and its Due is kept with the
// others.
func (j *job) setStep(s *store.Step) {
	row := &j.steps[s.ID-1]
	row.state, row.attempt, row.full = s.State, s.Attempt, s.Run.Full
	row.succeeded, row.unfinished = s.Succeeded, s.Unfinished
	row.started, row.finished = s.Started, s.Finished
	if s.Deadline != 0 {
		row.more().deadline = s.Deadline
	} else if row.extra != nil {
		row.extra.deadline = 0
	}
	c, some := courseOf(s)
	switch x := row.extra; {
	case x != nil && x.course != nil:
		c.policy, c.batches = x.course.policy, x.course.batches
		*x.course = c
	case some:
		own := c // allocated here alone: most steps have no course
		row.more().course = &own
	}
}

// more returns the extra of row, made if there is none.
func (row *stepRow) more() *extra {
	if row.extra == nil {
		row.extra = &extra{}
	}
	return row.extra
}

// setBatch takes over b, a batch of one of the steps.
func (j *job) setBatch(b *store.Batch) {
	x := j.steps[b.Step-1].more()
	if x.course == nil {
		x.course = &course{}
	}
	c := x.course
	at, known := slices.BinarySearchFunc(c.batches, b.Number, func(b store.Batch, n int32) int { return cmp.Compare(b.Number, n) })
	if !known {
		c.batches = slices.Insert(c.batches, at, *b)
		return
	}
	was := &c.batches[at]
	since, started := was.Since, was.Started
	*was = *b
	was.Since, was.Started = since, started
}

// batches returns the batches of a step that have begun, which the caller must not change.
func (row *stepRow) batches() []store.Batch {
	if row.extra == nil || row.extra.course == nil {
		return nil
	}
	return row.extra.course.batches
}

func (row *stepRow) targets() *targets {
	if row.extra == nil {
		return &noTargets
	}
	return &row.extra.targets
}

// longHistory is the length of a history from which a map finds requests.
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

// due is the moment that moves a step, of its own or of its job's turn, and its place in a heap.
type due struct {
	store.Overdue
	scope store.Scope
	index int
}

// moments is a heap of the moments that move the steps of all jobs, the earliest first.
type moments struct {
	mu   sync.Mutex // guards all below; taken after those of a shard and of the turns
	heap momentHeap
}

// set takes over the Due of s, set or not. The job's shard is locked.
func (m *moments) set(j *job, s *store.Step) {
	x := j.steps[s.ID-1].extra
	if s.Due == 0 && (x == nil || x.due == nil) {
		return
	}
	x = j.steps[s.ID-1].more()
	if s.Due == 0 {
		m.remove(x.due)
		x.due = nil
		return
	}
	if x.due == nil {
		x.due = &due{
			Overdue: store.Overdue{Job: j.header.ID, Step: s.ID, Attempt: s.Attempt, Due: s.Due},
			scope:   j.header.Scope,
		}
		m.add(x.due)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	x.due.Due, x.due.Attempt = s.Due, s.Attempt
	heap.Fix(&m.heap, x.due.index)
}

func (m *moments) add(d *due) {
	m.mu.Lock()
	defer m.mu.Unlock()
	heap.Push(&m.heap, d)
}

func (m *moments) remove(d *due) {
	m.mu.Lock()
	defer m.mu.Unlock()
	heap.Remove(&m.heap, d.index)
}

// overdue returns up to limit moments in scope that are not after now, the earliest first, and how many
// moments it has read for them: these and their children in the heap, and no others.
func (m *moments) overdue(scope store.Scope, now step.Time, limit int) (found []store.Overdue, read int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	front := frontier{heap: m.heap}
	for front.add(0); front.Len() > 0 && len(found) < limit; {
		i := heap.Pop(&front).(int)
		x := m.heap[i]
		if x.Due > now {
			break
		}
		if scope.Holds(x.scope) {
			found = append(found, x.Overdue)
		}
		front.add(2*i + 1)
		front.add(2*i + 2)
	}
	return found, front.read
}

// frontier has the places of a heap of moments that come next in an ordered read.
type frontier struct {
	heap   momentHeap
	places []int
	read   int // number of places so far
}

func (f *frontier) add(i int) {
	if i < len(f.heap) {
		f.read++
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

type momentHeap []*due

func (h momentHeap) Len() int { return len(h) }
func (h momentHeap) Less(a, b int) bool {
	x, y := &h[a].Overdue, &h[b].Overdue
	return cmp.Or(cmp.Compare(x.Due, y.Due), cmp.Compare(x.Job, y.Job), cmp.Compare(x.Step, y.Step)) < 0
}

func (h momentHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a, b
}
func (h *momentHeap) Push(x any) {
	d := x.(*due)
	d.index = len(*h)
	*h = append(*h, d)
}
func (h *momentHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return d
}
