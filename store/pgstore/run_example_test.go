package pgstore_test

import (
	"io"
	"os"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// The Example needs a server, which an Example with an output cannot wait for: this test has one.
func TestExample(t *testing.T) {
	t.Setenv("DATABASE_URL", pgtest.Schema(t))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	Example()
	os.Stdout = stdout
	w.Close()
	got, err := io.ReadAll(r)
	if want := "step 2 runs on 2 targets\n"; err != nil || string(got) != want {
		t.Errorf("the Example prints %q, %v; want %q", got, err, want)
	}
}

// Here the table of the Example is, and a job for it.
func TestExampleAlongside(t *testing.T) {
	pool := connect(t, pgtest.Schema(t))
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	approval.engine = engine.New(open(t, pool))
	approval.job = jobkit.Start(t, approval.engine, jobkit.Asking(1))
	execute(t, pool, `CREATE TABLE tickets (job bigint, approved bool)`)
	execute(t, pool, `INSERT INTO tickets VALUES ($1, false)`, int64(approval.job))
	ExampleAlongside()
	if !ask[bool](t, pool, `SELECT approved FROM tickets`) {
		t.Error("the ticket is not approved")
	}
	if job, err := approval.engine.Job(t.Context(), approval.job); err != nil || job.State != step.Succeeded {
		t.Errorf("the job is %v, %v; want succeeded", job, err)
	}
}
