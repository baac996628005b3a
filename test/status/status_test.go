package status_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/test/stores"
)

const steps, targets = 200, 5 // of each job

// A platform is an engine on a store, and the API of it.
type platform struct {
	testing.TB
	eng *engine.Engine
	api *httpapi.API
}

func newPlatform(t testing.TB, st store.Store) *platform {
	p := &platform{TB: t, eng: engine.New(st)}
	p.api = httpapi.New(p.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
		return httpapi.Caller{Person: "ann", AllScopes: true}, nil
	}})
	return p
}

// start starts a job.
func (p *platform) start() store.JobID {
	p.Helper()
	spec := engine.JobSpec{Name: "release", Scope: store.Scope{Type: "biz", ID: "2"}}
	for i := range steps {
		s := step.Spec{Type: step.Script, Name: fmt.Sprint("step ", i+1)}
		for k := range targets {
			s.Targets = append(s.Targets, fmt.Sprintf("0:10.0.%d.%d", i, k))
		}
		spec.Steps = append(spec.Steps, s)
	}
	created, err := p.eng.Create(p.Context(), spec, engine.Request{})
	if err == nil {
		_, err = p.eng.OperateJob(p.Context(), created.Job, operation.StartJob, engine.Request{})
	}
	if err != nil {
		p.Fatal(err)
	}
	return created.Job
}

// run reports the success of one step after the other. It waits for a turn before each, unless turns
// is nil.
func (p *platform) run(job store.JobID, turns <-chan struct{}) error {
	for id := range steps {
		if turns != nil {
			select {
			case <-turns:
			case <-p.Context().Done():
				return p.Context().Err()
			}
		}
		r := engine.Report{Job: job, Step: step.ID(id + 1), Attempt: 1}
		for i := range targets {
			r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: step.TargetSucceeded}})
		}
		if _, err := p.eng.Report(p.Context(), r); err != nil {
			return err
		}
	}
	return nil
}

// ask returns the body of an answer.
func (p *platform) ask(job store.JobID) []byte {
	w := httptest.NewRecorder()
	url := "/api/v3/get_job_instance_status/?bk_biz_id=2&return_ip_result=true&job_instance_id=" + strconv.FormatInt(int64(job), 10)
	p.api.ServeHTTP(w, httptest.NewRequestWithContext(p.Context(), "GET", url, nil))
	return w.Body.Bytes()
}

// A client polls jobs whose steps end one after another without a pause, job after job, until it has
// 500 answers. No poll is refused, and each answer shows one moment. In memory, where such a job
// would be over before the first answer, at most 5 steps end during an answer.
func TestStatusOfJobsThatMove(t *testing.T) {
	enough := 500
	if testing.Short() {
		enough = 50
	}
	for _, kind := range stores.Each() {
		t.Run(kind.Name, func(t *testing.T) {
			p, pace := newPlatform(t, kind.Open(t)), steps
			if kind.Name == stores.Memory.Name {
				pace = 5
			}
			answers, moving, jobs := 0, 0, 0
			for ; answers < enough; jobs++ {
				job, turns, done := p.start(), make(chan struct{}, pace), make(chan error, 1)
				go func() { done <- p.run(job, turns) }()
				for running := true; running; {
					for range cap(turns) - len(turns) {
						turns <- struct{}{}
					}
					select {
					case err := <-done:
						if err != nil {
							t.Fatal(err)
						}
						running = false
					default:
					}
					text := p.ask(job)
					passed, err := ofOneMoment(text)
					if err != nil {
						t.Fatalf("answer %d: %v: %.2000s", answers+1, err, text)
					}
					answers++
					if 0 < passed && passed < steps {
						moving++
					}
				}
			}
			if moving < answers/3 {
				t.Errorf("%d of %d answers came while a job ran, and not every third", moving, answers)
			}
			t.Logf("status: %d answers on %d jobs, 0 refused, %d while a job ran", answers, jobs, moving)
		})
	}
}

// ofOneMoment returns how many steps have succeeded according to an answer. The error says why the
// answer is no success, or cannot show one moment.
func ofOneMoment(text []byte) (passed int, err error) {
	const pending, running, succeeded = 1, 2, 3
	var answer struct {
		Code    int
		Message string
		Data    struct {
			Finished bool
			Job      struct{ Status int } `json:"job_instance"`
			Steps    []struct {
				Status  int
				Targets []struct{ Status int } `json:"step_ip_result_list"`
			} `json:"step_instance_list"`
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, err
	}
	job := &answer.Data
	if answer.Code != 0 || len(job.Steps) != steps {
		return 0, fmt.Errorf("%d %s, with %d steps", answer.Code, answer.Message, len(job.Steps))
	}
	for passed < steps && job.Steps[passed].Status == succeeded {
		passed++
	}
	state := running
	if passed == steps {
		state = succeeded
	}
	if job.Job.Status != state || job.Finished != (state == succeeded) {
		return 0, fmt.Errorf("the job is %d, and %d of its steps have succeeded", job.Job.Status, passed)
	}
	for i, s := range job.Steps {
		wantStep, wantTargets := pending, "[{5} {5} {5} {5} {5}]"
		switch {
		case i < passed:
			wantStep, wantTargets = succeeded, "[{9} {9} {9} {9} {9}]"
		case i == passed:
			wantStep = running
		}
		if got := fmt.Sprint(s.Targets); s.Status != wantStep || got != wantTargets {
			return 0, fmt.Errorf("step %d is %d with targets %s, and %d steps have succeeded", i+1, s.Status, got, passed)
		}
	}
	return passed, nil
}

// How much longer does a status of a job at rest take on PostgreSQL than on SQLite? Calls to the
// two alternate.
func BenchmarkStatusAtRest(b *testing.B) {
	kinds := []stores.Named{stores.SQLite, stores.PostgreSQL}
	var platforms []*platform
	var jobs []store.JobID
	for _, kind := range kinds {
		p := newPlatform(b, kind.Open(b))
		job := p.start()
		if err := p.run(job, nil); err != nil {
			b.Fatal(err)
		}
		platforms, jobs = append(platforms, p), append(jobs, job)
	}
	took := make([][]time.Duration, len(kinds))
	for b.Loop() {
		for i, p := range platforms {
			began := time.Now()
			text := p.ask(jobs[i])
			took[i] = append(took[i], time.Since(began))
			if !strings.Contains(string(text[:40]), `"code":0`) {
				b.Fatalf("%s: %.200s", kinds[i].Name, text)
			}
		}
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2])
	}
	sqlite, postgres := median(took[0]), median(took[1])
	b.ReportMetric(sqlite/1e6, "ms-SQLite")
	b.ReportMetric(postgres/1e6, "ms-PostgreSQL")
	b.ReportMetric(postgres/sqlite, "of-SQLite")
}
