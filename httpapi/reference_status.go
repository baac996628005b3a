package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// maxTargets is the maximum number of targets of a status, over all steps: four times as many as
// the platform allows in one step. Its clients cannot page.
const maxTargets = 200_000

// fewTargets is the maximum number of targets of a status that is read without a turn.
const fewTargets = 2_000

// newStatusRoom returns the room of statuses. A status is larger than other answers, and the
// server holds the whole of it, as it shows one moment.
func newStatusRoom() *room {
	const client = 32 << 20 // bytes per client
	return &room{reading: newBudget(2, 1), answers: newBudget(2*client, client)}
}

// A jobStatus is the data of get_job_instance_status. Times are Unix milliseconds or null; states,
// types and statuses are numbers. The server encodes it while the client receives it: the text is
// several times as large as the data.
type jobStatus struct {
	store.Snapshot
	targets bool // the status has targets
	host    func(target string) Host
}

// A status is the data of an answer that may be large.
type status interface{ write(w *jsonWriter) }

// A stepStatus is the data of get_step_instance_status: a step with the targets of a batch.
type stepStatus struct {
	job     store.Job
	step    store.Step
	batches []store.Batch  // of the step, all
	targets []store.Target // those asked for
	host    func(target string) Host
}

type jobInstance struct {
	ID        store.JobID `json:"job_instance_id"`
	ScopeType string      `json:"bk_scope_type"`
	ScopeID   string      `json:"bk_scope_id"`
	Business  *int64      `json:"bk_biz_id"` // of the scope; null if it has none
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
	Retries int32 `json:"execute_count"` // 0 for the first run, and the first one of each further batch
}

// batchInstance is a batch of a step.
type batchInstance struct {
	Number  int32 `json:"batch"` // from 1
	Status  uint8 `json:"status"`
	Latest  bool  `json:"latest_batch"` // the current or last one
	Retries int32 `json:"execute_count"`
	period
}

// times are those of a job or a step.
type times struct {
	Created *step.Time `json:"create_time"`
	period
}

// A period is that of a job, a step or a batch.
type period struct {
	Started *step.Time `json:"start_time"`
	Ended   *step.Time `json:"end_time"`
	Total   *int64     `json:"total_time"` // milliseconds; null until the end
}

type ipResult struct {
	HostID   *int64     `json:"bk_host_id"` // null for none
	IP       string     `json:"ip"`
	CloudID  int64      `json:"bk_cloud_id"`
	Batch    int32      `json:"batch,omitzero"` // from 1; absent without batches
	Status   uint16     `json:"status"`
	Tag      string     `json:"tag"`        // the result's detail
	ExitCode *int32     `json:"exit_code"`  // null if none was reported; 0 for a success only
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
	all, err := r.snapshot(withTargets, fieldTargets)
	if err != nil {
		return nil, err
	}
	return &jobStatus{all, withTargets, r.api.c.Host}, nil
}

// stepStatus answers with a step and the targets of a batch: 0 selects all targets, no number the current
// or last batch. A step without batches has no other targets than all.
func (r *referenceRequest) stepStatus() (any, error) {
	id, err := r.fields.id(fieldStep, maxID)
	if err != nil {
		return nil, err
	}
	batch, latest := int64(0), !r.fields.says(fieldBatch)
	if !latest {
		var ok bool
		if batch, ok = r.fields.number(fieldBatch); !ok || batch < 0 {
			return nil, r.fields.wrong(fieldBatch, "the number of a batch, from 1, or 0 for all")
		}
	}
	if err := r.narrow(); err != nil {
		return nil, err
	}
	all, err := r.snapshot(true, fieldStep)
	if err != nil {
		return nil, err
	}
	if id > int64(len(all.Steps)) {
		return nil, &referenceError{code: codeNoSuchStep, message: messageNoSuchStep}
	}
	var answer *stepStatus
	eachStep(&all, func(s store.Step, begun []store.Batch, targets []store.Target) {
		if int64(s.ID) == id {
			answer = &stepStatus{all.Job, s, s.Plan(begun), targets, r.api.c.Host}
		}
	})
	n := int64(len(answer.batches))
	if batch > n {
		return nil, unacceptable(fieldBatch, fmt.Sprintf("the step has %d batches, which count from 1; 0 is all of its targets", n))
	}
	if latest && n > 0 {
		batch = int64(max(answer.step.Batch, 1))
	}
	if batch > 0 {
		b := answer.batches[batch-1]
		answer.targets = answer.targets[b.First:b.End]
	}
	return answer, nil
}

// eachStep calls f with each step of a snapshot that has targets, with the step's batches that have begun
// and its targets.
func eachStep(all *store.Snapshot, f func(s store.Step, begun []store.Batch, targets []store.Target)) {
	batches, targets := all.Batches, all.Targets
	for _, s := range all.Steps {
		begun := min(int(s.Batch), len(batches))
		f(s, batches[:begun], targets[:s.Total])
		batches, targets = batches[begun:], targets[s.Total:]
	}
}

// snapshot returns the job. If it is large, r then holds a share of the room for it. A snapshot
// that has to wait for its share or for its turn is dropped and read again.
// A job with too many targets is refused with the field that asks for them.
func (r *referenceRequest) snapshot(withTargets bool, field string) (store.Snapshot, error) {
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
		return store.Snapshot{}, unacceptable(field, fmt.Sprintf(
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
	all = store.Snapshot{} // frees the memory while r waits
	if withTargets {
		most = maxTargets
	}
	all, r.held, err = admit(r.Context(), room, person, within, nil, func() (store.Snapshot, int64, error) { return read(most) })
	return all, err
}

var (
	stepSize   = int64(reflect.TypeFor[store.Step]().Size())
	batchSize  = int64(reflect.TypeFor[store.Batch]().Size())
	targetSize = int64(reflect.TypeFor[store.Target]().Size())
)

// trim drops the fields that a status omits, and returns the size of the rest in bytes.
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
	return bytes + batchSize*int64(len(all.Batches))
}

func countTargets(steps []store.Step) (n int) {
	for _, s := range steps {
		n += int(s.Total)
	}
	return n
}

// write writes s as JSON.
func (s *jobStatus) write(w *jsonWriter) {
	w.raw(`{"finished":` + strconv.FormatBool(s.Job.State.Finished()) + `,"job_instance":`)
	w.value(referenceJob(s.Job))
	w.raw(`,"step_instance_list":`)
	if !s.targets {
		list(w, slices.Values(s.Steps), func(row store.Step) { w.value(referenceStep(row, s.Job)) })
		w.raw("}")
		return
	}
	list(w, s.steps(), func(row *stepStatus) { row.write(w) })
	w.raw("}")
}

// steps returns the steps of s with their targets.
func (s *jobStatus) steps() iter.Seq[*stepStatus] {
	return func(yield func(*stepStatus) bool) {
		more := true
		eachStep(&s.Snapshot, func(row store.Step, begun []store.Batch, targets []store.Target) {
			more = more && yield(&stepStatus{s.Job, row, row.Plan(begun), targets, s.host})
		})
	}
}

// write writes s as JSON.
func (s *stepStatus) write(w *jsonWriter) {
	w.raw("{")
	w.fields(referenceStep(s.step, s.job))
	if len(s.batches) > 0 {
		w.raw(`,"step_batch_list":`)
		list(w, slices.Values(s.batches), func(b store.Batch) { w.value(referenceBatch(b, s.step)) })
	}
	w.raw(`,"step_ip_result_list":`)
	list(w, slices.Values(s.targets), func(t store.Target) { w.value(referenceTarget(t, s.host(t.Name))) })
	w.raw("}")
}

// A statusAnswer is an envelope with a status.
type statusAnswer struct {
	envelope
	status status
}

// encode writes a as JSON.
func (a statusAnswer) encode(to io.Writer) {
	a.Data = json.RawMessage("null")
	frame, _ := json.Marshal(a.envelope) // the envelope of a success marshals
	before, after, _ := strings.Cut(string(frame), "null")
	w := newJSONWriter(to)
	w.raw(before)
	a.status.write(w)
	w.raw(after + "\n")
	w.flush(1)
}

func referenceJob(j store.Job) jobInstance {
	return jobInstance{
		ID: j.ID, ScopeType: j.Scope.Type, ScopeID: j.Scope.ID, Business: businessOf(j.Scope), Name: j.Name, Status: referenceState(j.State, j.Gate),
		times: timesOf(j.Created, j.Started, j.Finished),
	}
}

func referenceStep(s store.Step, j store.Job) stepInstance {
	i := stepInstance{
		ID: s.ID, Type: uint8(s.Type), Name: s.Name, Status: referenceState(s.State, s.Gate.Reason),
		times: timesOf(j.Created, s.Started, s.Finished),
	}
	if s.Total > 0 { // another round of confirmation is no retry
		i.Retries = max(s.Attempt-max(s.Batch, 1), 0)
	}
	return i
}

// referenceState returns the number of a state. A gate that waits for a person is the platform's wait for
// a person; 15 is a wait for a moment or a turn.
func referenceState(s step.State, gate step.GateReason) uint8 {
	if s == step.Gated && gate.OfPerson() {
		s = step.Waiting
	}
	return uint8(s)
}

func referenceBatch(b store.Batch, s store.Step) batchInstance {
	return batchInstance{
		Number: b.Number, Status: referenceState(b.State, s.Gate.Reason), Latest: b.Number == s.Batch,
		Retries: b.Attempt - b.Since, period: periodOf(b.Started, b.Finished),
	}
}

func referenceTarget(t store.Target, h Host) ipResult {
	r := ipResult{
		IP: h.IP, CloudID: h.CloudID, Batch: t.Batch, Status: uint16(t.Status), Tag: t.Detail,
		Started: moment(t.Started), Ended: moment(t.Finished), Total: took(t.Started, t.Finished),
	}
	if h.ID != 0 {
		r.HostID = &h.ID
	}
	if t.Status == 0 { // the step was not entered yet
		r.Status = uint16(step.TargetWaiting)
	}
	if t.Status.Success() || t.Status.Finished() && t.ExitCode != 0 {
		r.ExitCode = &t.ExitCode
	}
	return r
}

func timesOf(created, started, ended step.Time) times {
	return times{moment(created), periodOf(started, ended)}
}

func periodOf(started, ended step.Time) period {
	return period{Started: moment(started), Ended: moment(ended), Total: took(started, ended)}
}

// moment returns t, or nil for never.
func moment(t step.Time) *step.Time {
	if t == 0 {
		return nil
	}
	return &t
}

// took returns the milliseconds between two times, or nil if one of them is 0.
func took(from, to step.Time) *int64 {
	if from == 0 || to == 0 {
		return nil
	}
	ms := int64(to - from)
	return &ms
}
