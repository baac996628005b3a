package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A client uses the native API beside the people on their pages.
type client struct {
	t      *testing.T
	url    string
	person string
}

// client returns a client of a person of the demo.
func (c *console) client(t *testing.T, person string) client { return client{t, c.url, person} }

// A problem is a refusal of the API.
type problem struct {
	Status int         `json:"status"`
	Title  string      `json:"title"`
	Detail string      `json:"detail"`
	Reason string      `json:"reason"`
	Legal  step.Causes `json:"legal"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// call makes one request and decodes its answer into answer, which may be nil. The error of a refused
// request is a *problem.
func (c client) call(ctx context.Context, method, path string, body, answer any) error {
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		var p problem
		if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
			return fmt.Errorf("%s %s: %s, and no problem document: %w", method, path, response.Status, err)
		}
		return &p
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// send makes one request, whose answer's body the caller closes.
func (c client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, sent)
	if err != nil {
		return nil, err
	}
	request.AddCookie(&http.Cookie{Name: cookie, Value: c.person})
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return http.DefaultClient.Do(request)
}

// must is call, and fails the test on an error.
func (c client) must(method, path string, body, answer any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.call(ctx, method, path, body, answer); err != nil {
		c.t.Fatalf("%s: %s %s: %v", c.person, method, path, err)
	}
}

// A spec is a step of a job to create.
type spec struct {
	Type       step.Type `json:"type"`
	Name       string    `json:"name"`
	Targets    []string  `json:"targets,omitempty"`
	Confirmers []string  `json:"confirmers,omitempty"`
	Payload    string    `json:"payload,omitempty"`
}

// create creates a job and starts it.
func (c client) create(name string, steps ...spec) store.JobID {
	c.t.Helper()
	var job store.Job
	c.must("POST", "/v1/jobs", map[string]any{
		"name": name, "scope": store.Scope{Type: "biz", ID: "2"}, "steps": steps,
	}, &job)
	c.must("POST", jobPath(job.ID)+"/start", map[string]any{}, nil)
	return job.ID
}

func jobPath(job store.JobID) string { return fmt.Sprintf("/v1/jobs/%d", job) }

// job returns the job of that name.
func (c client) job(name string) store.Job {
	c.t.Helper()
	var jobs struct{ Items []store.Job }
	c.must("GET", "/v1/jobs", nil, &jobs)
	for _, j := range jobs.Items {
		if j.Name == name {
			return j
		}
	}
	c.t.Fatalf("there is no job %q among %v", name, jobs.Items)
	return store.Job{}
}

// operate operates on a step. A refusal is an error.
func (c client) operate(job store.JobID, on step.ID, code operation.Code) (record store.Record, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	err = c.call(ctx, "POST", fmt.Sprintf("%s/steps/%d/operate", jobPath(job), on), map[string]any{"code": code}, &record)
	return record, err
}

// history returns all records of a job.
func (c client) history(job store.JobID) (all []store.Record) {
	c.t.Helper()
	for {
		var page struct{ Items []store.Record }
		var after store.Seq
		if len(all) > 0 {
			after = all[len(all)-1].Seq
		}
		c.must("GET", fmt.Sprintf("%s/history?after=%d&limit=500", jobPath(job), after), nil, &page)
		if len(page.Items) == 0 {
			return all
		}
		all = append(all, page.Items...)
	}
}

// until follows the events of a job, from the first, until one is the wanted one.
func (c client) until(job store.JobID, wanted func(store.Record) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	response, err := c.send(ctx, "GET", jobPath(job)+"/events", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var r store.Record
		if err := json.Unmarshal(data, &r); err != nil {
			c.t.Fatal(err)
		}
		if wanted(r) {
			return
		}
	}
	c.t.Fatalf("job %d never came to what it should: %v", job, context.Cause(ctx))
}

// comesTo is the condition for until that a step has reached a state.
func comesTo(on step.ID, state step.State) func(store.Record) bool {
	return func(r store.Record) bool { return r.Step == on && r.To == state }
}

// refused returns the refusal of a request.
func refused(t *testing.T, err error) *problem {
	t.Helper()
	var p *problem
	if !errors.As(err, &p) {
		t.Fatalf("%v, want a refusal", err)
	}
	return p
}
