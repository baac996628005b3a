//go:build unix

package riverfx_test

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// The Example needs a server, and an interrupt once its job has ended.
func TestExample(t *testing.T) {
	dsn := pgtest.Schema(t)
	t.Setenv("DATABASE_URL", dsn)
	st, _, err := openWithRiver(t.Context(), connect(t, dsn)) // to look at the job
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		Example()
	}()
	select {
	case job := <-started:
		for r, err := range engine.New(st).Watch(ctx, job, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if r.JobTo.Finished() {
				if r.JobTo != step.Succeeded {
					t.Errorf("the job is %v, want succeeded", r.JobTo)
				}
				break
			}
		}
	case <-ctx.Done():
		t.Fatal("no run is delivered")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-returned:
	case <-ctx.Done():
		t.Error("the Example does not end with an interrupt")
	}
}
