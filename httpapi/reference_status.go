package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// maxTargets is how many targets a status tells of, in all steps together: four steps of as many
// as the platform allows in one. Its clients cannot page.
const maxTargets = 200_000

// fewTargets is up to how many targets a status is read without a turn.
const fewTargets = 2_000

// newStatusRoom returns the room of statuses. They are larger than other answers, and are held
// whole, as they are of one moment.
func newStatusRoom() *room {
	const client = 32 << 20
	return &room{reading: newBudget(2, 1), answers: newBudget(2*client, client)}
}

// A jobStatus is the data of get_job_instance_status. Times are Unix milliseconds, null
// where there is none; states, types and statuses are numbers. Its text is made as the client
// takes it, as it is several times as large as what it tells.
type jobStatus struct {
	store.Snapshot
	targets bool // are told
	host    func(target string) Host
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
	Retries int32 `json:"execute_count"` // 0 for the first run
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
	all, err := r.snapshot(withTargets)
	if err != nil {
		return nil, err
	}
	return &jobStatus{all, withTargets, r.api.c.Host}, nil
}

// snapshot returns the job, once it is small or r holds a share of the room for it. What has to
// wait for its share, or for its turn, is dropped and read again.
func (r *referenceRequest) snapshot(withTargets bool) (store.Snapshot, error) {
	read := func(most int) (all store.Snapshot, bytes int64, err error) {
		all, err = r.eng.Snapshot(r.Context(), r.job, most)
		return all, trim(&all), err
	}
	most := 0
	if withTargets {
		most = fewTargets
	}
	all, bytes, err := read(most)
	if err != nil {
		return store.Snapshot{}, err
	}
	n := countTargets(all.Steps)
	if withTargets && n > maxTargets {
		return store.Snapshot{}, unacceptable(fieldTargets, fmt.Sprintf(
			"the job has %d targets, the maximum is %d: read them in pages with GET /v1/jobs/%d/steps/{step}/targets", n, maxTargets, r.job))
	}
	room, person, within := r.api.statuses, r.caller.Person, r.api.c.WriteTimeout
	if !withTargets || n <= fewTargets {
		if r.held.covers(bytes) {
			return all, nil
		}
		if r.held, err = room.answers.take(r.Context(), person, bytes, 0); err == nil {
			return all, nil
		}
	}
	all = store.Snapshot{} // not held while r waits
	if withTargets {
		most = maxTargets
	}
	all, r.held, err = admit(r.Context(), room, person, within, nil, func() (store.Snapshot, int64, error) { return read(most) })
	return all, err
}

var stepSize, targetSize = int64(reflect.TypeFor[store.Step]().Size()), int64(reflect.TypeFor[store.Target]().Size())

// trim drops what a status does not tell, and returns how many bytes the rest has.
func trim(all *store.Snapshot) (bytes int64) {
	for i := range all.Steps {
		s := &all.Steps[i]
		s.Confirmers = step.Names{}
		bytes += stepSize + int64(len(s.Name))
	}
	for i := range all.Targets {
		t := &all.Targets[i]
		bytes += targetSize + int64(len(t.Name)+len(t.Detail))
	}
	return bytes
}

func countTargets(steps []store.Step) (n int) {
	for _, s := range steps {
		n += int(s.Total)
	}
	return n
}

// write writes s.
func (s *jobStatus) write(w *jsonWriter) {
	w.raw(`{"finished":` + strconv.FormatBool(s.Job.State.Finished()) + `,"job_instance":`)
	w.value(referenceJob(s.Job))
	w.raw(`,"step_instance_list":`)
	rest := s.Targets
	list(w, slices.Values(s.Steps), func(row store.Step) {
		w.raw("{")
		w.fields(referenceStep(row, s.Job))
		if s.targets {
			w.raw(`,"step_ip_result_list":`)
			list(w, slices.Values(rest[:row.Total]), func(t store.Target) { w.value(referenceTarget(t, s.host(t.Name))) })
			rest = rest[row.Total:]
		}
		w.raw("}")
	})
	w.raw("}")
}

// A statusAnswer is an envelope with a status.
type statusAnswer struct {
	envelope
	status *jobStatus
}

// encode writes a as JSON.
func (a statusAnswer) encode(to io.Writer) {
	a.Data = json.RawMessage("null")
	frame, _ := json.Marshal(a.envelope) // a success, which marshals
	before, after, _ := strings.Cut(string(frame), "null")
	w := newJSONWriter(to)
	w.raw(before)
	a.status.write(w)
	w.raw(after + "\n")
	w.flush(1)
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
