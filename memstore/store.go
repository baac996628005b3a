package memstore

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/stepgate/stepgate/internal/wake"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Store is a [store.Store] in memory. It is safe for concurrent use and passes storetest.Run.
// [New] makes a Store; the zero Store must not be used.
//
// A Store keeps all jobs until it is garbage itself. A job of five steps and five records takes
// about 1 kB, a target 4 bytes beyond its name, and about 45 more once it has reported. Jobs walks
// the ids in order, past jobs of other scopes and states, until its page is full; with a Name it
// walks its whole window. Counts are kept up to date; the cost of every other read is proportional
// to its result. An operation takes several times as long with a million jobs as with a thousand,
// which fit the processor's caches; Linux's transparent_hugepage=always saves about a fifth of that.
type Store struct {
	shards    [64]shard
	created   [64]createdShard
	ids       idList
	outbox    outbox
	moments   moments
	turns     turns
	listeners wake.List
}

var (
	_ store.Store = (*Store)(nil)
	_ store.Waker = (*Store)(nil)
)

// shard holds the jobs whose ids hash to it.
type shard struct {
	mu     sync.Mutex // guards all below, and the jobs but for their effects
	jobs   map[store.JobID]*job
	counts map[store.Scope]*counts
	_      [64]byte // keeps neighbours off each other's cache line
}

// createdShard finds jobs by the request that created them. Its entries have no scope, whose text
// would take more memory than the rest: the job has the scope.
type createdShard struct {
	mu    sync.Mutex                      // guards all below; taken before that of a shard
	first map[store.RequestID]store.JobID // of the scope that made the request first
	rest  map[creation]store.JobID        // of other scopes that made the same one; nil for none
}

// counts has the number of jobs in each state, of one scope in one shard.
type counts [16]int // by state, which takes four bits

type creation struct {
	scope   store.Scope
	request store.RequestID
}

// Local implements store.Local.
func (*Store) Local() {}

// New returns an empty store.
func New() *Store {
	s := &Store{turns: turns{keys: map[turnKey]*turnKeeper{}, places: map[store.JobID]*place{}}}
	for i := range s.shards {
		s.shards[i].jobs = map[store.JobID]*job{}
		s.shards[i].counts = map[store.Scope]*counts{}
		s.created[i].first = map[store.RequestID]store.JobID{}
	}
	return s
}

func (s *Store) shard(id store.JobID) *shard {
	const spread = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio: neighbours part
	return &s.shards[uint64(id)*spread>>(64-6)]
}

// noJob stands for a job that does not exist, so that its scope is compared as well: an unused
// id takes as long as a job of another scope.
var noJob = &job{header: store.Job{Scope: store.Scope{Type: "none", ID: "none"}}}

// find locks the shard of a job and returns both, or ErrNotFound and no lock.
func (s *Store) find(ctx context.Context, scope store.Scope, id store.JobID) (*job, *shard, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	sh := s.shard(id)
	sh.mu.Lock()
	j, found := sh.jobs[id]
	if !found {
		j = noJob
	}
	if scope.Holds(j.header.Scope) && found {
		return j, sh, nil
	}
	sh.mu.Unlock()
	return nil, nil, store.ErrNotFound
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, q store.Query) (v store.View, err error) {
	j, sh, err := s.find(ctx, q.Scope, q.Job)
	if err != nil {
		return v, err
	}
	defer sh.mu.Unlock()
	id := q.Step
	if id == 0 {
		id = j.header.Current
	}
	if !j.has(id) {
		return v, store.ErrNotFound
	}
	v.Job = j.head()
	j.step(id, &v.Step)
	if j.has(id + 1) {
		j.step(id+1, &v.Next)
	}
	if len(q.Targets) > 0 {
		v.Targets = j.steps[id-1].targets().rows(q.Targets)
	}
	if q.Request != (store.RequestID{}) {
		v.Replay = j.recordOf(q.Request)
	}
	v.Turn = s.turns.free(&v.Job)
	return v, nil
}

// Created implements store.Store.
func (s *Store) Created(ctx context.Context, scope store.Scope, request store.RequestID) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	c := s.createdShard(request)
	c.mu.Lock()
	id, ok := s.createdIn(c, scope, request)
	c.mu.Unlock()
	if !ok {
		return store.Record{}, store.ErrNotFound
	}
	j, sh, err := s.find(ctx, store.Scope{}, id)
	if err != nil {
		return store.Record{}, err
	}
	defer sh.mu.Unlock()
	return j.log.at(id, 1), nil
}

func (s *Store) createdShard(request store.RequestID) *createdShard {
	return &s.created[request[15]&63]
}

// createdIn returns the job that request created in scope. c is locked.
func (s *Store) createdIn(c *createdShard, scope store.Scope, request store.RequestID) (id store.JobID, ok bool) {
	if id, ok = c.first[request]; !ok || s.scope(id) == scope {
		return id, ok
	}
	id, ok = c.rest[creation{scope, request}]
	return id, ok
}

// scope returns the scope of a job, which exists.
func (s *Store) scope(id store.JobID) store.Scope {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.jobs[id].header.Scope
}

// Commit implements store.Store. Any error means that nothing was done.
func (s *Store) Commit(ctx context.Context, c store.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Check(); err != nil {
		return err
	}
	if c.Base() == 0 {
		return s.create(c)
	}
	sh := s.shard(c.Job.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	j := sh.jobs[c.Job.ID]
	if j == nil || j.header.Version != c.Base() {
		return store.ErrConflict
	}
	for i := range c.Steps {
		if !j.has(c.Steps[i].ID) {
			return errors.New("memstore: a change whose header tells of more steps than the job has")
		}
	}
	return s.commit(j, &c)
}

func (s *Store) create(c store.Change) error {
	request, scope := c.Records[0].Request, c.Job.Scope
	if request == (store.RequestID{}) {
		return s.insert(c)
	}
	index := s.createdShard(request)
	index.mu.Lock()
	defer index.mu.Unlock()
	if _, known := s.createdIn(index, scope, request); known {
		return store.ErrConflict
	}
	if err := s.insert(c); err != nil {
		return err
	}
	if _, taken := index.first[request]; !taken {
		index.first[request] = c.Job.ID
		return nil
	}
	if index.rest == nil {
		index.rest = map[creation]store.JobID{}
	}
	index.rest[creation{scope, request}] = c.Job.ID
	return nil
}

func (s *Store) insert(c store.Change) error {
	sh := s.shard(c.Job.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.jobs[c.Job.ID] != nil {
		return store.ErrConflict
	}
	j := newJob(c.Specs)
	sh.jobs[c.Job.ID] = j
	j.counts = sh.counts[c.Job.Scope]
	if j.counts == nil {
		j.counts = new(counts)
		sh.counts[c.Job.Scope] = j.counts
	}
	j.counts[c.Job.State]++
	j.header.State = c.Job.State
	s.apply(j, &c)
	s.ids.add(c.Job.ID)
	return nil
}

// apply carries out a checked change, under the lock of j's shard. It cannot fail.
func (s *Store) apply(j *job, c *store.Change) {
	j.counts[j.header.State]--
	j.counts[c.Job.State]++
	policy := j.header.Policy
	if j.header = c.Job; policy == nil { // of a creation, or of a job without one
		policy = c.Job.Policy.Clone()
	}
	j.header.Policy = policy
	for i := range c.Steps {
		j.setStep(&c.Steps[i])
		s.moments.set(j, &c.Steps[i])
	}
	if len(c.Targets) > 0 {
		results, batches := j.steps[c.Steps[0].ID-1].targets(), c.BatchesOf(c.Steps[0].ID)
		for i := range c.Targets {
			results.set(&c.Steps[0], batches, &c.Targets[i])
		}
	}
	for i := range c.Batches {
		j.setBatch(&c.Batches[i])
	}
	for i := range c.Records {
		r := &c.Records[i]
		j.append(r)
		if r.Effect != store.NoEffect {
			e := s.outbox.unused()
			e.Delivery, _ = c.Delivery(r)
			s.outbox.add(j, e)
		}
	}
	s.listeners.Wake(c.Job.ID)
}

// Jobs implements store.Store.
func (s *Store) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	if f.Name != "" {
		return s.named(ctx, f)
	}
	var jobs []store.Job
	err := s.walk(ctx, f, func(j store.Job) bool {
		if len(jobs) < f.Page.Limit {
			jobs = append(jobs, j)
		}
		return len(jobs) < f.Page.Limit
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// named is Jobs by a part of the name.
func (s *Store) named(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	window := f
	window.Newest, window.Page.After = true, 0
	var jobs []store.Job
	seen := 0
	err := s.walk(ctx, window, func(j store.Job) bool {
		seen++
		after := j.ID > f.Page.After
		if f.Newest {
			after = j.ID < f.Page.After || f.Page.After == 0
		}
		if after && f.Named(j.Name) {
			jobs = append(jobs, j)
		}
		return seen < f.Window && !(f.Newest && len(jobs) == f.Page.Limit)
	})
	if err != nil {
		return nil, err
	}
	if !f.Newest {
		slices.Reverse(jobs)
	}
	return jobs[:min(len(jobs), max(f.Page.Limit, 0))], nil
}

// walk calls visit with the jobs of f's scope and states in f's order, from f's page on, until
// visit returns false.
func (s *Store) walk(ctx context.Context, f store.JobFilter, visit func(store.Job) bool) error {
	after, next := f.Page.After, s.ids.after
	if f.Newest {
		next = s.ids.before
		if after == 0 {
			after = math.MaxInt64
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		ids := next(after)
		if len(ids) == 0 {
			return nil
		}
		for _, id := range ids {
			j, sh, err := s.find(ctx, f.Scope, id)
			if err != nil {
				continue
			}
			header := j.head()
			sh.mu.Unlock()
			if (f.States.Empty() || f.States.Has(header.State)) && !visit(header) {
				return nil
			}
		}
		after = ids[len(ids)-1]
	}
}

// Counts implements store.Store.
func (s *Store) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	total := map[step.State]int{}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for of, counts := range sh.counts {
			if !scope.Holds(of) {
				continue
			}
			for state, n := range counts {
				if n > 0 {
					total[step.State(state)] = min(total[step.State(state)]+n, most)
				}
			}
		}
		sh.mu.Unlock()
	}
	return total, nil
}

// Snapshot implements store.Store.
func (s *Store) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	j, sh, err := s.find(ctx, q.Scope, q.Job)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer sh.mu.Unlock()
	snapshot := store.Snapshot{Job: j.head(), Steps: make([]store.Step, len(j.steps))}
	targets := 0
	for i := range snapshot.Steps {
		row := &snapshot.Steps[i]
		j.step(step.ID(i+1), row)
		targets += int(row.Total)
	}
	if targets == 0 || targets > q.Targets {
		return snapshot, nil
	}
	snapshot.Targets = make([]store.Target, 0, targets)
	for i := range j.steps {
		results := j.steps[i].targets()
		for t := range int32(results.len()) {
			snapshot.Targets = append(snapshot.Targets, results.target(t))
			snapshot.Targets[len(snapshot.Targets)-1].Name = results.name(t)
		}
		snapshot.Batches = append(snapshot.Batches, j.steps[i].batches()...)
	}
	return snapshot, nil
}

// Steps implements store.Store.
func (s *Store) Steps(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	j, sh, err := s.find(ctx, scope, job)
	if err != nil {
		return nil, err
	}
	defer sh.mu.Unlock()
	var steps []store.Step
	for id := max(p.After, 0) + 1; j.has(id) && len(steps) < p.Limit; id++ {
		steps = append(steps, store.Step{})
		j.step(id, &steps[len(steps)-1])
	}
	return steps, nil
}

// Targets implements store.Store.
func (s *Store) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	j, sh, err := s.find(ctx, f.Scope, f.Job)
	if err != nil {
		return nil, err
	}
	defer sh.mu.Unlock()
	if !j.has(f.Step) {
		return nil, store.ErrNotFound
	}
	row := &j.steps[f.Step-1]
	results := row.targets()
	if f.Attempt != 0 {
		return results.ofAttempt(f.Attempt, f.Page), nil
	}
	var st store.Step
	j.step(f.Step, &st)
	return results.ofClass(&st, row.batches(), f.Class, f.Page), nil
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	j, sh, err := s.find(ctx, scope, job)
	if err != nil {
		return nil, err
	}
	defer sh.mu.Unlock()
	return j.log.page(job, p), nil
}

// Details implements store.Store.
func (s *Store) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	j, sh, err := s.find(ctx, q.Scope, q.Job)
	if err != nil {
		return store.Details{}, err
	}
	defer sh.mu.Unlock()
	if !j.has(q.Step) {
		return store.Details{}, store.ErrNotFound
	}
	var d store.Details
	if x := j.steps[q.Step-1].extra; x != nil {
		d.Payload = x.payload
	}
	d.Batches = slices.Clone(j.steps[q.Step-1].batches())
	return d, nil
}

// Overdue implements store.Store.
func (s *Store) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, _ := s.moments.overdue(scope, now, limit)
	return found, nil
}
