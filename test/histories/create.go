package histories

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// create creates a job of any shape.
func (p *performer) create(ctx context.Context) {
	j := &job{endless: len(p.jobs) == 0, stubborn: p.oneIn(2)}
	j.spec = engine.JobSpec{Name: p.name(), Scope: one(p, scopes), Steps: p.steps()}
	if !j.endless {
		p.limit(&j.spec)
	}
	j.created = player.Ask{Spec: &j.spec, Cause: step.Created, Request: engine.Request{By: one(p, people), Because: p.reason()}}
	if !p.oneIn(3) {
		j.created.ID = player.ID(p)
	}
	p.ask("%v", j.created)
	record, err := j.created.Send(ctx, p.engine)
	answer(p.History, record, err)
	if err != nil {
		return
	}
	p.created(j, record.Job)
}

// limit draws when the job starts, its deadline, and a limit of jobs under way. Jobs that wait for a turn
// come one after the other: no moment that several may have in common comes before their first gate.
func (p *performer) limit(spec *engine.JobSpec) {
	spec.StartAt, spec.Timeout = policies.Job(p, step.At(p.now))
	if first := &spec.Steps[0]; !p.oneIn(3) {
		spec.Scope = scopes[p.IntN(5)/4]
		spec.Turn = store.Turn{Key: "web ü", Limit: int32(1 + p.IntN(5)/4)}
		first.Delay, first.StopBefore = 0, false
	}
}

// policies are those of steps and jobs. No plan has more than 500 batches. There are no windows: the engine
// asks about one by a command of its own, which would have the request id of the command before it.
var policies = player.Policies{
	Often:   6,
	Waits:   []time.Duration{1500 * time.Microsecond, 2 * time.Second, 90 * time.Second, time.Hour},
	Limits:  []time.Duration{40 * time.Second, 10 * time.Minute, 3 * time.Hour},
	Windows: []string{""},
	Batches: []string{"50%", "30%", "1 100%", "2 50%", "*2"},
}

// created remembers a job.
func (p *performer) created(j *job, id store.JobID) {
	p.Tally["created"]++
	j.id = id
	p.jobs = append(p.jobs, j)
}

// steps draws the steps of the next job: a few, now and then many. The first job begins with
// one that is retried to the end, and the second mostly with one of batches or of many targets.
func (p *performer) steps() []step.Spec {
	n := 1 + p.IntN(6)
	if p.oneIn(50) {
		n = 150
	}
	steps := make([]step.Spec, n)
	for i := range steps {
		steps[i] = p.spec()
	}
	switch {
	case len(p.jobs) == 0:
		steps[0] = step.Spec{Name: p.name(), Type: step.Script, Timeout: time.Hour, Targets: p.hosts(20 + p.IntN(40))}
	case len(p.jobs) == 1 && p.oneIn(2):
		steps[0] = step.Spec{Name: p.name(), Type: step.Script, Targets: p.hosts(12), Rolling: step.Rolling{Batches: "2 50%"}, IgnoreErrors: true}
	case len(p.jobs) == 1 && p.oneIn(2):
		steps[0] = step.Spec{Name: p.name(), Type: step.FileTransfer, Targets: p.hosts(4000 + p.IntN(5000))}
	}
	return steps
}

// repeatCreation repeats a creation, unchanged or changed, or makes the store create a job that it
// must refuse.
func (p *performer) repeatCreation(ctx context.Context, j *job, _ *store.View) {
	if p.oneIn(8) {
		p.createPadded(ctx)
		return
	}
	if j.created.ID == (store.RequestID{}) || p.oneIn(4) {
		p.createAnyhow(ctx, j)
		return
	}
	again, spec := j.created.Again(p, 3), j.spec
	again.Spec = &spec
	switch p.IntN(6) {
	case 0:
		spec.Name += "!"
	case 1:
		spec.Steps = append(spec.Steps[:len(spec.Steps)-1:len(spec.Steps)-1], p.spec())
	}
	p.ask("repeat %v", again)
	record, err := again.Send(ctx, p.engine)
	answer(p.History, record, err)
}

// createAnyhow makes the store create a job with the id or the request of another job.
func (p *performer) createAnyhow(ctx context.Context, j *job) {
	c := &engine.Create{Job: j.id, Spec: j.spec, Request: engine.Request{ID: player.ID(p)}}
	if id := j.created.ID; id != (store.RequestID{}) && p.oneIn(2) {
		c.Job, c.Request.ID = p.newJobID(), id
	}
	p.ask("commit the creation of job %d by request %v, which is taken", c.Job, c.Request.ID)
	d, err := engine.Decide(rules, store.View{}, c, step.At(p.now))
	if err == nil {
		err = p.store.Commit(ctx, d.Change)
	}
	answer(p.History, "committed", err)
}

// createPadded makes the store create a job whose targets have names with blank ends, which an engine
// refuses and a store keeps as they are.
func (p *performer) createPadded(ctx context.Context) {
	targets := p.hosts(1 + p.IntN(9))
	j := &job{created: player.Ask{Request: engine.Request{ID: player.ID(p)}}, spec: engine.JobSpec{
		Name: "padded", Scope: one(p, scopes), Steps: []step.Spec{{Name: "padded", Type: step.Script, Targets: targets}},
	}}
	c := &engine.Create{Job: p.newJobID(), Spec: j.spec, Request: j.created.Request}
	p.ask("commit the creation of job %d with padded names by request %v", c.Job, c.Request.ID)
	d, err := engine.Decide(rules, store.View{}, c, step.At(p.now))
	if err == nil {
		for i, name := range targets {
			targets[i] = " " + name + "\t"
		}
		err = p.store.Commit(ctx, d.Change)
	}
	answer(p.History, "committed", err)
	if err == nil {
		p.created(j, c.Job)
	}
}

// spec draws a step.
func (p *performer) spec() step.Spec {
	s := player.Shapes{
		Rules: rules, Targets: []string{""}, Timeouts: []time.Duration{p.timeout()}, Confirmers: people[:len(people)-1],
		Policies: policies,
	}.Steps(p, 1)[0]
	s.Name = p.name()
	if s.Targets != nil {
		s.Targets = p.hosts(p.total())
	}
	if p.oneIn(3) {
		s.Payload = p.payload()
	}
	return s
}

// hosts draws the names of n targets.
func (p *performer) hosts(total int) []string {
	word, hosts := p.name(), make([]string, total)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("%.200s %d", word, i)
	}
	return hosts
}

// total draws how many targets a step has: mostly few, now and then more than a block of
// 4,096.
func (p *performer) total() int {
	switch n := p.IntN(100); {
	case n < 45:
		return 1 + p.IntN(3)
	case n < 75:
		return 1 + p.IntN(40)
	case n < 99:
		return 1 + p.IntN(200)
	}
	return one(p, []int{4095, 4096, 4097, 8193})
}

// timeout draws a deadline: none, short, long, not in whole milliseconds, or never.
func (p *performer) timeout() time.Duration {
	switch p.IntN(8) {
	case 0, 1, 2:
		return time.Duration(1+p.IntN(60)) * time.Second
	case 3:
		return time.Duration(1+p.IntN(10)) * time.Hour
	case 4:
		return time.Duration(1 + p.Int64N(int64(time.Minute)))
	case 5:
		if p.oneIn(5) {
			return math.MaxInt64
		}
	}
	return 0
}

// people operate; the last of them is on no list of confirmers.
var people = []string{"ann", "bob", "cy d'Arc \"Ünï\" \\ 名前", "eve"}

// words are texts that a store may mishandle.
var words = []string{
	"web", "ünïcode ß", "名前", " spaces ", "quote'\"\\", "100%_like", "tab\tand\nline", "NULL", "😀", `{"a":["b"]}`, "$1 ?", "-- x;", "e\u0301",
	"\u2028", "{}", "a,b", "\x7f", "\ufeffbom",
}

// name draws a name of 1 to 256 characters.
func (p *performer) name() string {
	switch p.IntN(12) {
	case 0:
		return strings.Repeat(one(p, []string{"x", "ü", "😀"}), 256)
	case 1, 2, 3:
		return one(p, words) + " " + one(p, words)
	}
	return one(p, words)
}

// reason draws a reason: mostly none, now and then one of the maximum length.
func (p *performer) reason() string {
	switch p.IntN(12) {
	case 0:
		return strings.Repeat("名", 2000)
	case 1, 2, 3:
		return one(p, words)
	}
	return ""
}

// payload draws a payload, now and then one that does not fit in a page of a database, or in 64 KiB.
func (p *performer) payload() string {
	switch p.IntN(10) {
	case 0:
		return strings.Repeat(one(p, words), 1+p.IntN(4000))
	case 1:
		word := one(p, words)
		return strings.Repeat(word, 1+64<<10/len(word))
	}
	return "#!/bin/sh\necho " + one(p, words) + "\n"
}
