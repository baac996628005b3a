package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
)

// A cluster is the processes with one setting. It belongs to one goroutine.
type cluster struct {
	setting
	told *ledger

	live     map[role]*process
	gone     chan *process
	operated bool // the operator has nothing left to do
	kills    int  // wanted
	freezes  int  // wanted
	victims  *rand.Rand
	killed   map[string]int
	frozen   int // times that a worker was frozen
	restarts int
}

// farewell is the time that processes have for a graceful end.
const farewell = 10 * time.Second

func newCluster(s setting, o options) *cluster {
	return &cluster{
		setting: s, told: newLedger(), live: map[role]*process{}, gone: make(chan *process),
		kills: o.kills, freezes: o.freezes, victims: rand.New(rand.NewPCG(o.seed, 0)), killed: map[string]int{},
	}
}

// roles returns the roles of all processes.
func (c *cluster) roles() []role {
	all := []role{{operating, 0}}
	for n := range c.Workers {
		all = append(all, role{working, n})
	}
	return all
}

// run starts the processes, and kills and restarts some, until all jobs have ended and all effects
// are settled, or ctx ends. It returns when all processes have ended.
func (c *cluster) run(ctx context.Context) error {
	st, closeAll, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	defer c.stop()
	for _, r := range c.roles() {
		if err := c.start(r); err != nil {
			return err
		}
	}
	for eng, settled := engine.New(st), false; !settled; {
		select {
		case p := <-c.gone:
			err = c.replace(p)
		case <-time.After(50*time.Millisecond + rand.N(150*time.Millisecond)):
			settled, err = c.goOn(ctx, eng)
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) start(r role) error {
	p, err := r.start(c.setting, c.told, c.gone)
	if err == nil {
		c.live[r] = p
	}
	return err
}

// replace restarts a killed process. Any other process that has ended is a fault, except an
// operator whose work is done.
func (c *cluster) replace(p *process) error {
	delete(c.live, p.role)
	switch {
	case p.name == operating && p.cmd.ProcessState.Success():
		c.operated = true
		return nil
	case !p.killed:
		return fmt.Errorf("%v has ended without a kill: %v", p.role, p.cmd.ProcessState)
	}
	c.restarts++
	return c.start(p.role)
}

// goOn kills a process or freezes a worker if enough jobs have ended since the last time: both are
// spread over the work at any speed. It returns true when the work is done.
func (c *cluster) goOn(ctx context.Context, eng *engine.Engine) (settled bool, err error) {
	ended, err := eng.Jobs(ctx, engine.JobQuery{States: step.StatesOf(step.Succeeded, step.Terminated), Limit: c.Jobs})
	if err != nil {
		return false, err
	}
	due := func(all int) int { return min(all, all*(len(ended)+1)/c.Jobs) }
	switch {
	case c.killed[operating]+c.killed[working] < due(c.kills):
		c.kill()
		return false, nil
	case c.frozen < due(c.freezes):
		return false, c.freeze()
	}
	if !c.operated {
		return false, nil
	}
	for _, job := range ended {
		effects, err := eng.Effects(ctx, job.ID, 0, 1)
		if err != nil || len(effects) > 0 {
			return false, err
		}
	}
	return true, nil
}

// kill ends a process at random with SIGKILL.
func (c *cluster) kill() {
	if p := c.victim(func(*process) bool { return true }); p != nil {
		p.killed = true
		c.killed[p.name]++
		_ = p.cmd.Process.Kill() // it may have just ended
	}
}

// freeze stops a worker at random with SIGSTOP for longer than its leases. Its scripts continue.
func (c *cluster) freeze() error {
	p := c.victim(func(p *process) bool { return p.name == working && time.Now().After(p.thaws) })
	if p == nil {
		return nil // all workers are frozen or killed
	}
	const chill = lease + 2*time.Second
	c.frozen++
	p.thaws = time.Now().Add(chill)
	time.AfterFunc(chill, func() { _ = thaw(p.cmd.Process) }) // it may have been killed
	return freeze(p.cmd.Process)
}

// victim returns a random live process for which ok is true, or nil.
func (c *cluster) victim(ok func(*process) bool) *process {
	var all []*process
	for _, r := range c.roles() {
		if p := c.live[r]; p != nil && !p.killed && ok(p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[c.victims.IntN(len(all))]
}

// stop ends all processes gracefully, and kills those that have not ended after farewell.
func (c *cluster) stop() {
	for _, p := range c.live {
		_ = p.stdin.Close()
	}
	late := time.After(farewell)
	for len(c.live) > 0 {
		select {
		case p := <-c.gone:
			delete(c.live, p.role)
		case <-late:
			for _, p := range c.live {
				_ = p.cmd.Process.Kill()
			}
		}
	}
}
