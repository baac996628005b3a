package storetest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var effectPromises = []promise{
	{"Effects/are those of the job that are not settled, by sequence number", effectsUnsettled},
	{"Effects/tell how often each was claimed, how often it failed and why", effectsTell},
	{"Effects/a page is at most Limit after After", effectsPage},
	{"Effects/tell by whom, why and by what each was asked for", effectsAsked},
	{"Effects/none is no error", effectsNone},
	{"Effects/of a job that does not exist are not found", effectsNoJob},

	{"Claim/takes an effect at once, whatever its record's time", claimTime},
	{"Claim/raises Count and leases until Until", claimLease},
	{"Claim/keeps Token with each effect", claimToken},
	{"Claim/holds each effect until Defer lets it go", claimHolds},
	{"Claim/takes no effect again before its lease has run out", claimAgain},
	{"Claim/takes the kinds that are wanted", claimKinds},
	{"Claim/takes runs and stops of the step types that are wanted", claimTypes},
	{"Claim/takes questions and ends of jobs whatever types are wanted", claimUntyped},
	{"Claim/takes those of the scope", claimScope},
	{"Claim/takes at most Limit", claimLimit},
	{"Claim/takes them in the order of NotBefore", claimOrder},
	{"Claim/passes none over for ever", claimFair},
	{"Claim/takes no effect that is settled", claimSettled},
	{"Claim/of two at once takes none twice at one Count", claimRace},

	{"Defer/leaves an effect alone until NotBefore", deferUntil},
	{"Defer/keeps Failures, Delivered and LastError as they are given", deferKeeps},
	{"Defer/keeps Held as it is given", deferHolds},
	{"Defer/changes nothing else of an effect", deferNothingElse},
	{"Defer/renews a lease, and ends one early", deferRenews},
	{"Defer/of an effect claimed again is a lost lease and does nothing", deferFenced},
	{"Defer/of a settled effect is a lost lease", deferSettled},

	{"Settle/removes an effect for good", settle},
	{"Settle/stands after the lease has run out, until another claims", settleLate},
	{"Settle/of an effect claimed again is a lost lease and does nothing", settleFenced},
	{"Settle/of a settled effect is a lost lease", settleTwice},
	{"Settle and Defer/with another Token are a lost lease and do nothing", tokenFenced},
}

// asking starts jobs, one a millisecond from t0 on, each with a Run to
// claim, and returns their effects.
func (x trial) asking(jobs int) []store.Delivery {
	x.Helper()
	var want []store.Delivery
	for i := range jobs {
		want = append(want, x.started(store.JobID(i+1), []store.Scope{teamA, teamB}[i%2], t0+step.Time(i), script("a", 1)).effects()...)
	}
	return want
}

// eventful returns a job with at least one effect of each kind.
func (x trial) eventful(id store.JobID, scope store.Scope) *job {
	j := x.started(id, scope, t0, script("a", 1), script("b", 1), confirmation("c", "alice"))
	x.do(j, j.report(t0+1, all(step.TargetFailed, 0, 1)))
	x.do(j, retry(j.view(1), t0+2, operation.RetryAll))
	x.do(j, j.report(t0+3, all(step.TargetRunning, 0, 1)))
	x.do(j, j.report(t0+4, all(step.TargetSucceeded, 0, 1)))
	x.do(j, terminate(j.view(2), t0+5))
	x.do(j, skip(j.view(2), t0+6))
	return j
}

// byJob sorts deliveries for a comparison in which their order is free.
func byJob(ds []store.Delivery) []store.Delivery {
	return slices.SortedFunc(slices.Values(ds), func(a, b store.Delivery) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Seq, b.Seq))
	})
}

func effectsUnsettled(x trial) {
	j := x.eventful(1, teamA)
	x.eventful(2, teamA)
	want := j.effects()
	same(x, "Effects", x.effects(teamA, 1, everySeq), want)
	for _, d := range claimed(want, 1, t0+minute) {
		x.claim(store.Claim{Now: t0 + 9, Until: t0 + minute})
		if d.Seq%2 == 0 {
			x.settle(d)
		}
	}
	want = slices.DeleteFunc(claimed(want, 1, t0+minute), func(d store.Delivery) bool { return d.Seq%2 == 0 })
	same(x, "Effects after those of even number were settled", x.effects(teamA, 1, everySeq), want)
}

func effectsTell(x trial) {
	x.asking(1)
	for i := range int32(3) {
		now := t0 + step.Time(i)*10
		d := x.claimOne(now, now+5)
		same(x, "Effects after a claim", x.effects(teamA, 1, everySeq), []store.Delivery{d})
		d = x.deferTo(failed(d, fmt.Sprint("broke ", i)), now+10)
		same(x, "Effects after Defer", x.effects(teamA, 1, everySeq), []store.Delivery{d})
		equal(x, "Effects after Defer, Count and Failures", [2]int32{d.Count, d.Failures}, [2]int32{i + 1, i + 1})
	}
}

// effectsAsked starts a step by an operation and the next one by a report, each with words of its own.
func effectsAsked(x trial) {
	said := func(c store.Change, actor, reason string) store.Change {
		c.Records[0].Actor, c.Records[0].Reason = actor, reason
		return c
	}
	j := x.create(create(1, teamA, t0, script("a", 1), confirmation("b")))
	x.do(j, said(start(j.view(1), t0), "ann", "the release \u2013 at last"))
	x.do(j, said(j.report(t0+1, all(step.TargetSucceeded, 0, 1)), "", ""))
	x.do(j, said(terminate(j.view(2), t0+2), "eve", ""))
	type asked struct {
		cause         step.Cause
		actor, reason string
	}
	want := []asked{
		{operation.StartJob.Cause(), "ann", "the release \u2013 at last"}, {step.AllSucceeded, "", ""}, {operation.TerminateJob.Cause(), "eve", ""},
	}
	for call, got := range map[string][]store.Delivery{
		"Effects": x.effects(teamA, 1, everySeq), "Claim": byJob(x.claim(store.Claim{Now: t0 + 2, Until: never})),
		"Effects after Claim": x.effects(teamA, 1, everySeq),
	} {
		var by []asked
		for _, d := range got {
			by = append(by, asked{d.Cause, d.Actor, d.Reason})
		}
		same(x, call, by, want)
	}
}

func effectsPage(x trial) {
	j := x.eventful(1, teamA)
	pages(x, "Effects", j.effects(), func(d store.Delivery) store.Seq { return d.Seq }, func(p store.Page[store.Seq]) []store.Delivery {
		return x.effects(teamA, 1, p)
	})
}

func effectsNone(x trial) {
	x.create(create(1, teamA, t0, script("a", 1)))
	same(x, "Effects of a job that was not started", x.effects(teamA, 1, everySeq), nil)
	x.started(2, teamA, t0, script("a", 1))
	x.settle(x.claimOne(t0, never))
	same(x, "Effects when all are settled", x.effects(teamA, 2, everySeq), nil)
	same(x, "Claim when all are settled", x.claim(store.Claim{Now: never, Until: never + 1}), nil)
}

var effectsNoJob = noJob("Effects", func(x trial, id store.JobID) error {
	_, err := x.Effects(x.Context(), teamA, id, everySeq)
	return err
})

// claimTime claims by the clock of a host that is far behind the host that made the record, a little
// behind, equal or ahead.
func claimTime(x trial) {
	for i, c := range []struct{ at, now step.Time }{
		{never, 1}, {never, t0}, {t0 + 1, t0}, {t0, t0}, {t0 - 1, t0}, {1, t0}, {1, never},
	} {
		want := x.started(store.JobID(i+1), teamA, c.at, script("a", 1)).effects()
		got := x.claim(store.Claim{Now: c.now, Until: never + 1})
		same(x, fmt.Sprintf("Claim at %d of what was recorded at %d", c.now, c.at), got, claimed(want, 1, never+1))
		for _, d := range got {
			x.settle(d)
		}
	}
}

func claimLease(x trial) {
	var want []store.Delivery
	for id := range store.JobID(2) {
		want = append(want, x.eventful(id+1, teamA).effects()...)
	}
	for n := range int32(3) {
		now := t0 + step.Time(n+1)*minute
		got := x.claim(store.Claim{Now: now, Until: now + 7})
		same(x, fmt.Sprintf("Claim for the %d. time", n+1), byJob(got), claimed(want, n+1, now+7))
		same(x, "Effects after it", x.effects(teamA, 1, everySeq), claimed(want[:len(want)/2], n+1, now+7))
	}
}

// tokenOf returns a token of its own for each n.
func tokenOf(n byte) store.Token { return store.Token{n, 15: 0xff} }

func claimToken(x trial) {
	x.asking(2)
	for n := range byte(3) {
		now := t0 + step.Time(n+1)*minute
		want := x.claim(store.Claim{Now: now, Until: now + 7, Token: tokenOf(n)})
		for _, d := range want {
			equal(x, fmt.Sprintf("Claim with token %v, Token", tokenOf(n)), d.Token, tokenOf(n))
		}
		same(x, "Effects after it", slices.Concat(x.effects(teamA, 1, everySeq), x.effects(teamB, 2, everySeq)), byJob(want))
	}
}

// held returns whether each effect of teamA's job 1 is held.
func (x trial) held() (held []bool) {
	x.Helper()
	for _, d := range x.effects(teamA, 1, everySeq) {
		held = append(held, d.Held)
	}
	return held
}

// claimHolds lets an effect go early, as a failure and a release do, and lets the lease of another
// one run out.
func claimHolds(x trial) {
	x.asking(1)
	same(x, "Held before the first claim", x.held(), []bool{false})
	for n := range step.Time(4) {
		now := t0 + n*10
		d := x.claimOne(now, now+10)
		equal(x, "Claim, Held", d.Held, true)
		same(x, "Held after it", x.held(), []bool{true})
		if n%2 == 0 {
			d.Held = false
			x.deferTo(d, now+10)
			same(x, "Held after Defer of what is not held", x.held(), []bool{false})
		}
	}
}

// deferHolds renews a lease, lets the effect go, and renews the lease that nobody has taken since.
func deferHolds(x trial) {
	x.asking(1)
	d := x.claimOne(t0, t0+10)
	for i, held := range []bool{true, true, false, false, true, false} {
		d.Held = held
		d = x.deferTo(d, t0+step.Time(i))
		same(x, "Effects after Defer", x.effects(teamA, 1, everySeq), []store.Delivery{d})
	}
}

func tokenFenced(x trial) {
	x.asking(1)
	d := x.claim(store.Claim{Now: t0, Until: t0 + 10, Token: tokenOf(1)})[0]
	before := x.dump()
	for _, other := range []store.Token{{}, tokenOf(2)} {
		guessed := d
		guessed.Token = other
		x.is(x.Settle(x.Context(), guessed), store.ErrLeaseLost, "Settle with token %v of an effect claimed with %v", other, d.Token)
		x.is(x.Defer(x.Context(), failed(guessed, "late")), store.ErrLeaseLost, "Defer with token %v of an effect claimed with %v", other, d.Token)
		same(x, "all there is after it", x.dump(), before)
	}
	x.settle(x.deferTo(d, t0+20))
}

func claimAgain(x trial) {
	want := x.asking(3)
	x.claim(store.Claim{Now: t0 + 5, Until: t0 + 100})
	for _, now := range []step.Time{t0 + 5, t0 + 6, t0 + 99} {
		same(x, "Claim during the lease", x.claim(store.Claim{Now: now, Until: never}), nil)
	}
	same(x, "Claim as the lease runs out", byJob(x.claim(store.Claim{Now: t0 + 100, Until: t0 + 200})), claimed(want, 2, t0+200))
	same(x, "Claim long after the lease has run out", byJob(x.claim(store.Claim{Now: t0 + 900, Until: t0 + 1000})), claimed(want, 3, t0+1000))
}

func claimKinds(x trial) {
	want := slices.Concat(x.eventful(1, teamA).effects(), x.eventful(2, teamA).effects())
	for i, kinds := range [][]store.Effect{{store.StopAttempt}, {store.JobEnded, store.AskConfirmers}, {store.RunTargets}, {store.StopAttempt, store.RunTargets}} {
		now := t0 + minute*step.Time(i+1)
		var some []store.Delivery
		for j, d := range want {
			if slices.Contains(kinds, d.Effect) {
				want[j].Count, want[j].NotBefore, want[j].Held = d.Count+1, now+1, true
				some = append(some, want[j])
			}
		}
		same(x, fmt.Sprintf("Claim of kinds %v", kinds), byJob(x.claim(store.Claim{Effects: kinds, Now: now, Until: now + 1})), some)
	}
	same(x, "Effects after claims of all kinds", x.effects(teamA, 1, everySeq), want[:len(want)/2])
}

// typed starts jobs of some step types, two of each, in turn in two scopes, stops the first of the two, and
// asks and ends others. It returns all effects.
func (x trial) typed() []store.Delivery {
	x.Helper()
	var want []store.Delivery
	id := store.JobID(0)
	for n := range 2 {
		for i, typ := range types {
			spec := script("a", 1)
			spec.Type = typ
			id++
			j := x.started(id, []store.Scope{teamA, teamB}[i%2], t0, spec)
			if n == 0 {
				x.do(j, terminate(j.view(1), t0+1))
			}
			want = append(want, j.effects()...)
		}
	}
	for i, typ := range types { // and a step of a type asks, and ends its job
		spec := script("a", 1)
		spec.Type = typ
		id++
		j := x.started(id, []store.Scope{teamB, teamA}[i%2], t0+2, confirmation("q"), spec)
		x.do(j, skip(j.view(1), t0+3))
		x.do(j, skip(j.view(2), t0+4))
		want = append(want, j.effects()...)
	}
	return want
}

// types are step types: those of the alphabet that run, and two of an embedder.
var types = []step.Type{step.Script, step.FileTransfer, step.SQL, 40, 200}

// taken returns the effects, of those that are due, that a claim must take, by a rule of the suite's
// own.
func taken(all []store.Delivery, scope store.Scope, kinds []store.Effect, types []step.Type) (some []store.Delivery) {
	for _, d := range all {
		right := true
		switch d.Effect {
		case store.RunTargets, store.StopAttempt:
			right = len(types) == 0 || slices.Contains(types, d.Type)
		}
		if right && slices.Contains(kinds, d.Effect) && (scope == store.Scope{} || scope == d.Scope) {
			some = append(some, d)
		}
	}
	return some
}

// claimTyped claims by each set of types, the kinds that are given, and in each scope, and compares.
func (x trial) claimTyped(kinds ...store.Effect) {
	x.Helper()
	waiting := x.typed()
	now := t0 + minute
	for set := range 1 << len(types) {
		var wanted []step.Type
		for i, typ := range types {
			if set>>i&1 != 0 {
				wanted = append(wanted, typ)
			}
		}
		for _, scope := range []store.Scope{{}, teamA, teamB, {Type: "biz", ID: "3"}} {
			want := taken(waiting, scope, kinds, wanted)
			now += 2
			got := byJob(x.claim(store.Claim{Scope: scope, Effects: kinds, Types: step.TypesOf(wanted...), Now: now, Until: now + 1}))
			for i := range got { // Count and Held are other promises'
				got[i].Count, got[i].NotBefore, got[i].Held = 0, 0, false
			}
			same(x, fmt.Sprintf("Claim of %v for step types %v in scope %+v", kinds, wanted, scope), got, want)
		}
	}
}

func claimTypes(x trial) { x.claimTyped(store.RunTargets, store.StopAttempt) }

func claimUntyped(x trial) { x.claimTyped(everyKind...) }

func claimScope(x trial) {
	want := x.asking(6)
	scoped := func(scope store.Scope) []store.Delivery {
		return slices.DeleteFunc(claimed(want, 1, never), func(d store.Delivery) bool { return d.Scope != scope })
	}
	for _, scope := range []store.Scope{teamB, teamA} {
		same(x, fmt.Sprintf("Claim in scope %+v", scope), byJob(x.claim(store.Claim{Scope: scope, Now: t0 + 9, Until: never})), scoped(scope))
	}
}

func claimLimit(x trial) {
	want := x.asking(7)
	var got []store.Delivery
	for _, c := range []struct{ limit, n int }{{1, 1}, {2, 2}, {1, 1}, {math.MaxInt, 3}, {1, 0}, {math.MaxInt, 0}} {
		ds := x.claim(store.Claim{Now: t0 + 9, Until: never, Limit: c.limit})
		equal(x, fmt.Sprintf("Claim with Limit %d, how many", c.limit), len(ds), c.n)
		got = append(got, ds...)
	}
	same(x, "all claims together", byJob(got), claimed(want, 1, never))
}

// claimOrder sets the times of effects of two kinds by Defer and by a lease. One effect was never
// claimed, and so comes first though its record is the latest. Effects of one time come in any order.
func claimOrder(x trial) {
	times := []step.Time{50, 10, 40, 20, 60, 30, 20}
	for i := range times {
		x.started(store.JobID(i+1), teamA, t0+step.Time(i), []step.Spec{script("a", 1), confirmation("a")}[i%2])
	}
	for _, d := range x.claim(store.Claim{Now: t0 + 9, Until: t0 + minute}) {
		x.deferTo(d, t0+times[d.Job-1])
	}
	x.started(8, teamA, never, script("a", 1))
	for _, c := range []struct {
		now, until step.Time
		want       []store.JobID
	}{
		{t0 + 10, never, []store.JobID{8}},
		{t0 + 10, t0 + 45, []store.JobID{2}}, // goes back between those of 40 and 50
		{t0 + 60, never, []store.JobID{4, 7}},
		{t0 + 60, never, []store.JobID{3, 6}},
		{t0 + 60, never, []store.JobID{2}},
		{t0 + 60, never, []store.JobID{1, 5}},
	} {
		var got []store.JobID
		for _, d := range byJob(x.claim(store.Claim{Now: c.now, Until: c.until, Limit: len(c.want)})) {
			got = append(got, d.Job)
		}
		same(x, fmt.Sprintf("Claim at %d with Limit %d, the jobs", c.now, len(c.want)), got, c.want)
	}
	same(x, "Claim when all are leased", x.claim(store.Claim{Now: t0 + 60, Until: never}), nil)
}

// claimFair claims one effect at a time and settles none; each lease has run out by the next claim.
func claimFair(x trial) {
	const effects = 20
	x.asking(effects)
	seen := map[store.JobID]int{}
	for i := range step.Time(10 * effects) {
		now := t0 + minute + 2*i
		for _, d := range x.claim(store.Claim{Now: now, Until: now + 1, Limit: 1}) {
			seen[d.Job]++
		}
	}
	for id := range store.JobID(effects) {
		if seen[id+1] == 0 {
			x.Errorf("%d claims with Limit 1 among %d effects: that of job %d never came, want each", 10*effects, effects, id+1)
		}
	}
}

func claimSettled(x trial) {
	want := x.asking(4)
	for _, d := range x.claim(store.Claim{Now: t0 + 9, Until: t0 + 10, Limit: 100}) {
		if d.Job%2 == 0 {
			x.settle(d)
		}
	}
	want = slices.DeleteFunc(claimed(want, 2, never), func(d store.Delivery) bool { return d.Job%2 == 0 })
	same(x, "Claim after half were settled", byJob(x.claim(store.Claim{Now: t0 + 10, Until: never})), want)
}

func claimRace(x trial) {
	const effects, claimers = 24, 4
	want := x.asking(effects)
	for n := range int32(4) {
		now := t0 + minute*step.Time(n+1)
		var wg sync.WaitGroup
		var mu sync.Mutex // guards got
		var got []store.Delivery
		ready := make(chan struct{})
		for range claimers {
			wg.Go(func() {
				<-ready
				for range effects {
					ds, err := x.Claim(x.Context(), store.Claim{Effects: []store.Effect{store.RunTargets}, Now: now, Until: now + 1, Limit: 3})
					if err != nil {
						x.Errorf("Claim among others: got error %v, want none", err)
						return
					}
					mu.Lock()
					got = append(got, ds...)
					mu.Unlock()
				}
			})
		}
		close(ready)
		wg.Wait()
		same(x, fmt.Sprintf("what %d claimers took together of %d effects, each once", claimers, effects), byJob(got), claimed(want, n+1, now+1))
	}
}

func deferUntil(x trial) {
	x.asking(1)
	d := x.claimOne(t0, t0+10)
	d = x.deferTo(failed(d, "broke"), t0+50)
	same(x, "Claim after the lease and before the time given to Defer", x.claim(store.Claim{Now: t0 + 49, Until: never}), nil)
	same(x, "Claim at the time given to Defer", x.claim(store.Claim{Now: t0 + 50, Until: never}), claimed([]store.Delivery{d}, 2, never))
}

func deferRenews(x trial) {
	x.asking(1)
	d := x.claimOne(t0, t0+10)
	for _, until := range []step.Time{t0 + 20, t0 + 30, t0 + 40} { // with the delivery as it was claimed
		x.deferTo(d, until)
		same(x, "Claim during a renewed lease", x.claim(store.Claim{Now: until - 1, Until: never}), nil)
	}
	x.deferTo(d, t0+5) // earlier than the lease
	again := x.claimOne(t0+5, t0+10)
	equal(x, "Claim at the earlier time given to Defer, Count", again.Count, 2)
	x.deferTo(again, t0+3) // in the past
	equal(x, "Claim at a time before the lease began, Count", x.claimOne(t0+3, never).Count, 3)
}

// deferKeeps goes through the outcomes of a stop: it fails, fails again, is carried out, fails once
// more, is carried out. Each outcome must outlive the next claim.
func deferKeeps(x trial) {
	x.asking(1)
	d := x.claimOne(t0, t0+5)
	for i, c := range []struct {
		failures  int32
		delivered bool
		lastError string
	}{{1, false, "first"}, {2, false, "second"}, {0, true, ""}, {1, true, "third"}, {0, true, ""}, {0, false, ""}} {
		now := t0 + 10*step.Time(i+1)
		d.Failures, d.Delivered, d.LastError = c.failures, c.delivered, c.lastError
		d = x.deferTo(d, now)
		same(x, "Effects after Defer", x.effects(teamA, 1, everySeq), []store.Delivery{d})
		d.Count, d.NotBefore = d.Count+1, now+5
		equal(x, "Claim after it", x.claimOne(now, now+5), d)
	}
}

// deferNothingElse defers a delivery that equals the effect only in its names, Count and Token.
func deferNothingElse(x trial) {
	x.asking(1)
	want := x.deferTo(x.claimOne(t0, t0+10), t0+20)
	x.deferTo(store.Delivery{
		Job: want.Job, Seq: want.Seq, Count: want.Count, Scope: teamB, Effect: store.StopAttempt,
		Step: 9, Type: 9, Attempt: 9, Run: store.Run{Full: want.Run.Full + 7}, JobTo: step.Failed, At: never, Held: want.Held,
	}, t0+20)
	same(x, "Effects after Defer", x.effects(teamA, 1, everySeq), []store.Delivery{want})
	same(x, "Claim after it", x.claim(store.Claim{Scope: teamA, Effects: []store.Effect{store.RunTargets}, Now: t0 + 20, Until: never}), claimed([]store.Delivery{want}, 2, never))
}

// lost calls with deliveries whose lease is lost, one of them because it was claimed again.
func (x trial) lost(name string, call func(store.Delivery) error) {
	x.Helper()
	x.asking(2)
	first := x.claim(store.Claim{Scope: teamA, Now: t0, Until: t0 + 10})[0]
	second := x.claim(store.Claim{Scope: teamA, Now: t0 + 10, Until: never})[0]
	before := x.dump()
	for _, count := range []int32{0, first.Count, second.Count + 1} {
		d := second
		d.Count = count
		x.is(call(d), store.ErrLeaseLost, "%s at Count %d of an effect claimed again at Count %d", name, count, second.Count)
		same(x, "all there is after it", x.dump(), before)
	}
	x.ok(call(second), "%s at the Count of the last claim", name)
}

func (x trial) settledFirst(name string, call func(store.Delivery) error) {
	x.Helper()
	x.asking(1)
	d := x.claimOne(t0, t0+10)
	x.settle(d)
	for _, count := range []int32{d.Count, d.Count, 0, d.Count + 1} {
		d.Count = count
		x.is(call(d), store.ErrLeaseLost, "%s at Count %d of an effect settled at Count 1", name, count)
	}
	same(x, "Effects after it", x.effects(teamA, 1, everySeq), nil)
	same(x, "Claim after it", x.claim(store.Claim{Now: never, Until: never + 1}), nil)
	d.Seq = 1
	x.is(call(d), store.ErrLeaseLost, "%s of a record without an effect", name)
	d.Job = 99
	x.is(call(d), store.ErrLeaseLost, "%s of a job that does not exist", name)
}

func deferFenced(x trial) {
	x.lost("Defer", func(d store.Delivery) error { return x.Defer(x.Context(), failed(d, "late")) })
}

func deferSettled(x trial) {
	x.settledFirst("Defer", func(d store.Delivery) error { return x.Defer(x.Context(), failed(d, "late")) })
}

func settle(x trial) {
	j := x.eventful(1, teamA)
	want := claimed(j.effects(), 1, t0+minute)
	x.claim(store.Claim{Now: t0 + 9, Until: t0 + minute})
	for len(want) > 0 {
		x.settle(want[0])
		want = want[1:]
		same(x, "Effects after Settle", x.effects(teamA, 1, everySeq), want)
	}
	x.holds(j)
	x.do(j, skip(j.view(3), t0+minute))
	same(x, "Effects after all were settled and a new record was committed", x.effects(teamA, 1, everySeq), j.effects()[len(j.effects())-1:])
}

func settleLate(x trial) {
	x.asking(2)
	ds := x.claim(store.Claim{Now: t0 + 5, Until: t0 + 10})
	x.deferTo(ds[0], t0+20)
	x.claim(store.Claim{Effects: []store.Effect{store.StopAttempt}, Now: t0 + 50, Until: never}) // so that the store has seen a later time
	x.settle(ds[0])                                                                              // renewed, its NotBefore has changed since
	same(x, "Effects of the one settled", x.effects(store.Scope{}, ds[0].Job, everySeq), nil)
	x.settle(ds[1])
	same(x, "Claim after the leases", x.claim(store.Claim{Now: t0 + minute, Until: never}), nil)
}

func settleFenced(x trial) {
	x.lost("Settle", func(d store.Delivery) error { return x.Settle(x.Context(), d) })
}

func settleTwice(x trial) {
	x.settledFirst("Settle", func(d store.Delivery) error { return x.Settle(x.Context(), d) })
}
