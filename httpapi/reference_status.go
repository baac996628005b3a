package httpapi

import (
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// maxTargets is how many targets a status tells of, in all steps together. It is one page of
// the engine's.
const maxTargets = 10_000

// largeStatus is from how many targets on a status is large: few such are made and sent at once,
// so that clients that do not take theirs cost time and not memory.
const largeStatus = 1_000

// A jobStatus is the data of get_job_instance_status. Times are Unix milliseconds, null
// where there is none; states, types and statuses are numbers.
type jobStatus struct {
	Finished bool           `json:"finished"`
	Job      jobInstance    `json:"job_instance"`
	Steps    []stepInstance `json:"step_instance_list"`
}

type jobInstance struct {
	ID        store.JobID `json:"job_instance_id"`
	ScopeType string      `json:"bk_scope_type"`
	ScopeID   string      `json:"bk_scope_id"`
	Business  *int64      `json:"bk_biz_id"` // that alone means the scope; null if none does
	Name      string      `json:"name"`
	Status    uint8       `json:"status"`
	times
}

type stepInstance struct {
	ID     step.ID `json:"step_instance_id"`
	Type   uint8   `json:"type"`
	Name   string  `json:"name"`
	Status uint8   `json:"status"`
	times
	Retries int32      `json:"execute_count"`                // 0 for the first run
	Targets []ipResult `json:"step_ip_result_list,omitzero"` // left out if it is not asked for, and empty if there are none
}

// times are those of a job or a step.
type times struct {
	Created *step.Time `json:"create_time"`
	Started *step.Time `json:"start_time"`
	Ended   *step.Time `json:"end_time"`
	Total   *int64     `json:"total_time"` // milliseconds; null until the end
}

type ipResult struct {
	HostID   *int64     `json:"bk_host_id"` // null for none
	IP       string     `json:"ip"`
	CloudID  int64      `json:"bk_cloud_id"`
	Status   uint16     `json:"status"`
	Tag      string     `json:"tag"`        // the result's detail
	ExitCode *int32     `json:"exit_code"`  // null if none was reported: 0 is told of a success alone
	Error    int        `json:"error_code"` // always 0
	Started  *step.Time `json:"start_time"`
	Ended    *step.Time `json:"end_time"`
	Total    *int64     `json:"total_time"`
}

func (r *referenceRequest) status() (any, error) {
	withTargets, err := r.fields.flag(fieldTargets)
	if err != nil {
		return nil, err
	}
	if err := r.narrow(); err != nil {
		return nil, err
	}
	before, err := r.eng.Job(r.Context(), r.job)
	for range 10 {
		if err != nil {
			return nil, err
		}
		status := &jobStatus{}
		if status.Steps, err = r.steps(withTargets, before); err != nil {
			return nil, err
		}
		var job store.Job
		if job, err = r.eng.Job(r.Context(), r.job); err == nil && job.Moved == before.Moved { // so the steps are of that moment as well
			status.Finished, status.Job = job.State.Finished(), referenceJob(job)
			return status, nil
		}
		before = job
	}
	if err == nil {
		err = engine.ErrConflict
	}
	return nil, err
}

// steps returns the steps of a job and, if they are asked for, their targets.
func (r *referenceRequest) steps(withTargets bool, job store.Job) ([]stepInstance, error) {
	all := make([]store.Step, 0, job.Steps)
	for len(all) < int(job.Steps) {
		after := step.ID(0)
		if len(all) > 0 {
			after = all[len(all)-1].ID
		}
		page, err := r.eng.Steps(r.Context(), job.ID, after, 1000)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
	}
	targets := 0
	for _, s := range all {
		targets += int(s.Total)
	}
	if withTargets && targets > maxTargets {
		return nil, unacceptable(fieldTargets, fmt.Sprintf(
			"the job has %d targets, and %d are the most that are told here: read them in pages with GET /v1/jobs/%d/steps/{step}/targets",
			targets, maxTargets, job.ID))
	}
	if withTargets && targets >= largeStatus {
		if err := r.enlarge(); err != nil {
			return nil, err
		}
	}
	list := make([]stepInstance, 0, len(all))
	for _, s := range all {
		instance := referenceStep(s, job)
		if withTargets {
			instance.Targets = make([]ipResult, 0, s.Total)
		}
		if withTargets && s.Total > 0 {
			page, err := r.eng.Targets(r.Context(), job.ID, s.ID, engine.TargetQuery{Limit: maxTargets})
			if err != nil {
				return nil, err
			}
			for _, t := range page {
				instance.Targets = append(instance.Targets, referenceTarget(t, r.api.c.Host(t.Name)))
			}
		}
		list = append(list, instance)
	}
	return list, nil
}

func referenceJob(j store.Job) jobInstance {
	return jobInstance{
		ID: j.ID, ScopeType: j.Scope.Type, ScopeID: j.Scope.ID, Business: businessOf(j.Scope), Name: j.Name, Status: uint8(j.State),
		times: timesOf(j.Created, j.Started, j.Finished),
	}
}

func referenceStep(s store.Step, j store.Job) stepInstance {
	i := stepInstance{
		ID: s.ID, Type: uint8(s.Type), Name: s.Name, Status: uint8(s.State), times: timesOf(j.Created, s.Started, s.Finished),
	}
	if s.Total > 0 { // asking again is not a retry
		i.Retries = max(s.Attempt-1, 0)
	}
	return i
}

func referenceTarget(t store.Target, h Host) ipResult {
	r := ipResult{
		IP: h.IP, CloudID: h.CloudID, Status: uint16(t.Status), Tag: t.Detail,
		Started: moment(t.Started), Ended: moment(t.Finished), Total: took(t.Started, t.Finished),
	}
	if h.ID != 0 {
		r.HostID = &h.ID
	}
	if t.Status == 0 { // of a step that was not entered yet
		r.Status = uint16(step.TargetWaiting)
	}
	if t.Status.Success() || t.Status.Finished() && t.ExitCode != 0 {
		r.ExitCode = &t.ExitCode
	}
	return r
}

func timesOf(created, started, ended step.Time) times {
	return times{Created: moment(created), Started: moment(started), Ended: moment(ended), Total: took(started, ended)}
}

// moment returns t, or nil for never.
func moment(t step.Time) *step.Time {
	if t == 0 {
		return nil
	}
	return &t
}

// took returns the milliseconds between two moments, or nil if one of them has not come.
func took(from, to step.Time) *int64 {
	if from == 0 || to == 0 {
		return nil
	}
	ms := int64(to - from)
	return &ms
}
