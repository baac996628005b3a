package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The events that processes report, beside the causes of their records.
const (
	refused     = "refused"     // an operation was refused
	late        = "late"        // a report or a sweep was refused: the attempt was over
	conflicted  = "conflicted"  // a commit lost a race, and the request was decided again
	repeated    = "repeated"    // an operation was repeated with the same request id
	delivered   = "delivered"   // an effect was delivered for the first time
	redelivered = "redelivered" // an effect was delivered again
)

// A ledger has the events that processes have reported.
type ledger struct {
	mu           sync.Mutex // guards all below
	count        map[string]int
	acknowledged map[store.RequestID]bool // requests carried out, as acknowledged to a process
}

func newLedger() *ledger {
	return &ledger{count: map[string]int{}, acknowledged: map[store.RequestID]bool{}}
}

// listen records the events of a process until it ends.
func (l *ledger) listen(said io.Reader) {
	for lines := bufio.NewScanner(said); lines.Scan(); {
		what, id, carriedOut := strings.Cut(lines.Text(), " ")
		var request store.RequestID
		err := request.UnmarshalText([]byte(id))
		l.mu.Lock()
		l.count[what]++
		if carriedOut && err == nil {
			l.acknowledged[request] = true
		}
		l.mu.Unlock()
	}
}

// scripts counts the scripts that ran, from the lines that they left in the targets, and those that
// ran again for the same attempt. The error names every script that ended after another script of
// its step had begun on its target: two ran at once.
func (s setting) scripts() (ran, again int, err error) {
	for _, host := range hosts {
		lines, e := os.ReadFile(filepath.Join(s.targets(), host, evidence))
		if e != nil && !os.IsNotExist(e) {
			return ran, again, e
		}
		seen := map[string]bool{}     // by attempt
		latest := map[string]string{} // by step: the process that began last
		for line := range strings.Lines(string(lines)) {
			fields := strings.Fields(line)
			if len(fields) < 3 {
				return ran, again, fmt.Errorf("%s: unexpected line of a script: %q", host, line)
			}
			of, attempt, pid := fields[0], fields[1], fields[2]
			if len(fields) > 3 {
				if latest[of] != pid {
					err = errors.Join(err, fmt.Errorf("%s: process %s of step %s, attempt %s, ended after process %s had begun", host, pid, of, attempt, latest[of]))
				}
				continue
			}
			ran++
			if seen[of+" "+attempt] {
				again++
			}
			seen[of+" "+attempt], latest[of] = true, pid
		}
	}
	return ran, again, err
}

// table prints the figures. The error is that of [setting.scripts].
func table(out io.Writer, c *cluster, found findings, took time.Duration) error {
	ran, again, fault := c.scripts()
	n := c.told.count
	row := func(name string, figure any, more string, args ...any) {
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%-32s%8v  "+more, append([]any{name, figure}, args...)...), " "))
	}
	row("processes", 1+c.Workers, "1 operator, %d workers, whose clocks are up to %v apart", c.Workers, apart)
	row("killed with SIGKILL", c.killed[operating]+c.killed[working], "the operator %d times, workers %d times", c.killed[operating], c.killed[working])
	row("frozen", c.frozen, "workers, for longer than their leases")
	row("restarted", c.restarts, "")
	row("jobs", c.Jobs, "%d succeeded, %d terminated", found.jobs[step.Succeeded], found.jobs[step.Terminated])
	row("steps", found.steps, "%d attempts ran on targets", found.attempts)
	row("operations accepted", found.operated, "%d more were repeated and got the same answer", n[repeated])
	row("operations refused", n[refused], "")
	row("reports and sweeps refused", n[late], "their attempt was over")
	row("requests that lost a race", n[conflicted], "and were decided again")
	row("effects delivered", n[delivered], "")
	row("effects delivered again", n[redelivered], "")
	row("scripts run on targets", ran, "")
	row("scripts run again", again, "after a kill or a lost lease")
	row("attempts expired", found.expired, "each once")
	row("records in all histories", found.records, "%d acknowledged to a process that survived", len(c.told.acknowledged))
	row("time", took.Round(100*time.Millisecond), "")
	return fault
}
