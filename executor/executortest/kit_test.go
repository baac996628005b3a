package executortest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/executor/executortest"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
)

// A flaw is what is wrong with an executor.
type flaw string

const (
	none               flaw = ""
	runsTwice          flaw = "starts a run again that is at work"
	ignoresStops       flaw = "settles a stop and does nothing"
	reportsOldAttempt  flaw = "reports results of an attempt that is over as those of the current one"
	losesAtShutdown    flaw = "drops results at the end of the process that are not reported yet"
	settlesAtShutdown  flaw = "settles at the end of the process what is not done"
	reportsInterrupted flaw = "reports functions that the end of the process has interrupted"
	blocksStops        flaw = "has stops wait for a place beside functions"
	forgetsAHost       flaw = "leaves out a host when a run is delivered again"
	settlesRefused     flaw = "takes the refusal of a report for the end of its attempt"
	dropsFailedReports flaw = "drops results whose report has failed once"
	keepsLostLease     flaw = "lets functions go on when the lease is lost"
	settlesBefore      flaw = "settles a run before its functions have returned"
	readsOnePage       flaw = "reads the first page of hosts alone"
	stopsEarly         flaw = "reports a stop while functions are at work"
	stopsOnlyItsOwn    flaw = "stops the attempt alone that a stop names"
	startsBeside       flaw = "starts an attempt beside an earlier one"
	ignoresEnds        flaw = "lets functions go on when their job has ended"
	endsLaterAttempts  flaw = "ends later attempts too when a job has ended"
	entersLate         flaw = "enters a run on its list once the hosts are read"
	asksNothing        flaw = "does not ask whether a run is still that of its step"
	runsEveryHost      flaw = "works on hosts that are not due"
	hearsNoOther       flaw = "ends functions only on what this process is delivered"
	refusesQuestions   flaw = "fails questions, and never settles them"
	panicsSucceed      flaw = "takes a panic for a success"
	losesGoroutines    flaw = "waits on for a function that has ended its goroutine"
	callsTwice         flaw = "calls the function twice for each host"
	reportsLess        flaw = "reports no exit codes and no details"
	failsPlainly       flaw = "reports every failure as the same one"
	dropsAfterStop     flaw = "drops what functions return after a stop"
	tellsFirst         flaw = "tells of a lost lease before it ends the functions"
	neverRenews        flaw = "never renews a lease"
	forgetsLost        flaw = "takes a run off its list when its lease is lost, and not when its functions have returned"
	leavesForeignStops flaw = "settles a stop of what does not run in this process, and reports nothing"
	reportsNoStatus    flaw = "reports a result as it is that has no finished status"
	dropsAtShutdown    flaw = "drops what functions return after the end of the process has begun"
	secondGivesBack    flaw = "gives back at the end of the process the second delivery of a run that is at work"
	readsUnfenced      flaw = "takes the hosts of a later attempt for those of its own"
	runsAllBatches     flaw = "works in each batch on all hosts of the step"
	runsFailedAgain    flaw = "works again on hosts that have failed in the attempt"
	waitsForNoOther    flaw = "waits for no other process that has the run"
	stopsOneByOne      flaw = "has a stop wait for the one before it"
	servesAllTypes     flaw = "takes steps of types that it does not serve"
	leavesFunctions    flaw = "returns while functions are at work"
)

func TestKitPassesAGoodExecutor(t *testing.T) { executortest.Run(t, by(none)) }

const theFaults = "Faults/every job ends, and each success is taken once"

// rejects says which promises each flaw must be found to break.
var rejects = map[flaw][]string{
	runsTwice:          {"Run/delivered twice runs once", theFaults},
	ignoresStops:       {"Stop/ends what runs"},
	reportsOldAttempt:  {"Run/first ends what runs of earlier attempts"},
	losesAtShutdown:    {"Shutdown/reports what has finished"},
	settlesAtShutdown:  {"Shutdown/gives back at once what is not done"},
	reportsInterrupted: {"Shutdown/gives back at once what is not done"},
	blocksStops:        {"Stop/waits for no other run"},
	forgetsAHost:       {"Crash/the hosts without a result run again, and no others", theFaults},
	settlesRefused:     {"Report/that is refused settles no run that has hosts left"},
	dropsFailedReports: {"Report/is repeated until it is taken"},
	keepsLostLease:     {"Lease/that another process has taken ends the functions", "Lease/that has run out ends the functions"},
	settlesBefore:      {"Crash/the hosts without a result run again, and no others"},
	readsOnePage:       {"Run/reads every page of hosts"},
	stopsEarly:         {"Stop/is reported once all functions have returned"},
	stopsOnlyItsOwn:    {"Stop/ends earlier attempts too"},
	startsBeside:       {"Run/first ends what runs of earlier attempts"},
	ignoresEnds:        {"End/ends what runs", "End/by a deadline ends what runs"},
	endsLaterAttempts:  {"End/leaves a later attempt alone"},
	entersLate:         {"Stop/during the first page of hosts"},
	asksNothing:        {"Run/is dropped after a stop of its attempt", "Run/is dropped after a stop of a later attempt", "Run/is dropped if a later attempt was seen", "Run/is dropped at a gate"},
	runsEveryHost:      {"Run/a retry is of the hosts that are due", theFaults},
	hearsNoOther:       {"Stop/in another process ends what runs here", "End/in another process ends what runs here"},
	refusesQuestions:   {"End/is settled, as are questions"},
	panicsSucceed:      {"Run/takes a panic for a failure"},
	losesGoroutines:    {"Run/takes the end of the goroutine for a failure"},
	callsTwice:         {"Run/calls the function once for each host"},
	reportsLess:        {"Run/reports what the function returned"},
	failsPlainly:       {"Run/reports what the function returned", theFaults},
	dropsAfterStop:     {"Stop/results after it count"},
	tellsFirst:         {"Lease/that is lost ends the functions although a failure is told and not heard"},
	neverRenews:        {"Lease/is renewed while functions run", "Lease/is renewed although a failure is told and not heard"},
	forgetsLost:        {"Lease/a function that ignores its loss is not called beside itself"},
	leavesForeignStops: {"Crash/after a stop, another process reports it"},
	reportsNoStatus:    {"Run/takes a result without a finished status for a failure"},
	dropsAtShutdown:    {"Shutdown/a success of a function that it has waited for counts"},
	secondGivesBack:    {"Shutdown/gives no run back that came twice while a function is at work"},
	readsUnfenced:      {"Run/takes no hosts of a later attempt for its own"},
	runsAllBatches:     {"Run/of a batch is of its hosts"},
	runsFailedAgain:    {"Crash/the hosts without a result run again, and no others"},
	waitsForNoOther:    {"Run/waits for earlier attempts in another process", "Run/waits for an attempt in another process that was given up", "Stop/in another process is reported once functions here have returned"},
	stopsOneByOne:      {"Stop/waits for no other stop"},
	servesAllTypes:     {"Run/of another step type is left to others"},
	leavesFunctions:    {"Shutdown/waits for functions, and gives nothing back before"},
}

// A name that is no promise's is a breach, and so is all that a flaw breaks in real time.
func TestCheckInRealTime(t *testing.T) {
	kit := executortest.Kit{Open: func(testing.TB) store.Store { return memstore.New() }, Seeds: 2, Seed: 5}
	names := []string{"Run/delivered twice runs once", "Stop/ends what runs", theFaults}
	if breaches := kit.Check(t, by(none), names...); len(breaches) > 0 {
		t.Errorf("Check of a good executor: got %v, want no breach", breaches)
	}
	breaches := kit.Check(t, by(runsTwice), "no such promise", names[0])
	if len(breaches) < 2 || breaches[0].Promise != "no such promise" || breaches[1].Promise != names[0] {
		t.Errorf("Check of an unknown promise, and of one that is broken: got %v, want both", breaches)
	}
}

// Each executor that is broken on purpose is rejected by the promise that it breaks.
func TestKitRejectsBrokenExecutors(t *testing.T) {
	for f, promises := range rejects {
		t.Run(string(f), func(t *testing.T) {
			for _, promise := range promises {
				breaches := executortest.Kit{}.Check(t, by(f), promise)
				if len(breaches) == 0 {
					t.Errorf("Check(%q) of an executor that %s: got no breach, want one", promise, f)
					continue
				}
				t.Logf("%s: %.300s", promise, breaches[0].Message)
			}
		})
	}
}

// A host that is worked on in two processes at once is one breach by itself, whatever the promise: in
// these trials leases are longer than usual, and none can be lost.
func TestKitSeesHostsWorkedOnTwiceAcrossProcesses(t *testing.T) {
	const promise = "Run/waits for earlier attempts in another process"
	breaches := executortest.Kit{}.Check(t, by(waitsForNoOther), promise)
	if !slices.ContainsFunc(breaches, func(b executortest.Breach) bool {
		return strings.Contains(b.Message, "want no host to be worked on twice at once")
	}) {
		t.Errorf("Check(%q) of an executor that %s: got %v, want that it works on a host twice at once", promise, waitsForNoOther, breaches)
	}
}

func TestEachPromiseIsBrokenBySomeExecutor(t *testing.T) {
	var broken []string
	for _, promises := range rejects {
		broken = append(broken, promises...)
	}
	for _, promise := range executortest.Promises() {
		if !slices.Contains(broken, promise) {
			t.Errorf("promise %q: got no broken executor that it rejects, want one", promise)
		}
	}
}
