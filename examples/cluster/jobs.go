package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/step"
)

// hosts are the targets of all jobs.
var hosts = func() (all []string) {
	for i := range 12 {
		all = append(all, fmt.Sprintf("host-%02d", i+1))
	}
	return all
}()

// confirmers are the people who may confirm.
var confirmers = []string{"ann", "bob"}

const (
	endless = "endless" // names a step that runs until it is stopped
	short   = 2500 * time.Millisecond
)

// kinds are the steps of the jobs, likelier ones more than once.
var kinds = []func(r *rand.Rand) step.Spec{
	script("quick", `sleep 0.3`),
	script("long", `sleep 1`),
	script("flaky", `sleep 0.5; [ $STEPGATE_ATTEMPT -gt 1 ] || [ $STEPGATE_TARGET != host-03 ]`),
	script("broken", `sleep 0.3; case $STEPGATE_TARGET in *[369]) echo no such thing >&2; exit 3;; esac`),
	script(endless, `[ $STEPGATE_ATTEMPT -gt 1 ] || sleep 60`),
	func(r *rand.Rand) step.Spec {
		s := script("slow", `[ $STEPGATE_ATTEMPT -gt 1 ] || sleep 60`)(r)
		s.Timeout = short
		return s
	},
	func(r *rand.Rand) step.Spec {
		s := script("tolerated", `sleep 0.3; [ $STEPGATE_TARGET != host-06 ]`)(r)
		s.IgnoreErrors = true
		return s
	},
	func(r *rand.Rand) step.Spec {
		content := fmt.Sprint("version = ", r.IntN(100), "\n")
		return step.Spec{
			Type: step.FileTransfer, Name: "copy", Targets: some(r),
			Payload: localexec.Files{Files: []localexec.File{{Content: &content, To: "conf/app.ini"}}}.Payload(),
		}
	},
	func(*rand.Rand) step.Spec {
		return step.Spec{Type: step.Confirmation, Name: "ask", Confirmers: confirmers}
	},
	func(*rand.Rand) step.Spec {
		return step.Spec{Type: step.Confirmation, Name: "ask, or refuse", Confirmers: confirmers, Timeout: short}
	},
	func(*rand.Rand) step.Spec {
		return step.Spec{Type: step.Confirmation, Name: "ask, or confirm", Confirmers: confirmers, Timeout: short, OnTimeout: step.ConfirmOnTimeout}
	},
}

// evidence is the file in a target to which every script writes a line when it begins and, unless
// it is killed, one when it ends.
const (
	evidence = "ran"
	ended    = "end"
	witness  = `line="$STEPGATE_JOB.$STEPGATE_STEP $STEPGATE_ATTEMPT $$"
trap 'echo "$line ` + ended + `" >>` + evidence + `' EXIT
trap 'exit 143' TERM
echo "$line" >>` + evidence + "\n"
)

func script(name, text string) func(r *rand.Rand) step.Spec {
	return func(r *rand.Rand) step.Spec {
		return step.Spec{Type: step.Script, Name: name, Targets: some(r), Payload: localexec.Script{Script: witness + text}.Payload()}
	}
}

// some returns a random number of hosts, at least one.
func some(r *rand.Rand) []string { return hosts[:1+r.IntN(len(hosts))] }

// spec returns the definition of job i, which depends only on i and the seed of s.
func (s setting) spec(i int) engine.JobSpec {
	r := rand.New(rand.NewPCG(s.Seed, uint64(i)))
	spec := engine.JobSpec{Name: fmt.Sprintf("job-%03d", i)}
	for range 3 + r.IntN(3) {
		spec.Steps = append(spec.Steps, kinds[r.IntN(len(kinds))](r))
	}
	return spec
}
