package httpapi_test

import (
	"cmp"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The tour runs with a real client, and tells what tour.txt says.
func TestTour(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "grep", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("the tour needs %s", tool)
			}
			t.Skipf("the tour needs %s", tool)
		}
	}
	var seconds, random atomic.Int64
	eng := engine.New(memstore.New(),
		engine.WithJobIDs(func(step.Time) store.JobID { return 1000 }),
		engine.WithClock(func() time.Time { return time.Unix(1_700_000_000+seconds.Add(1), 0) }),
		engine.WithRandom(func() uint64 { return uint64(random.Add(1)) }))
	server := httptest.NewServer(httpapi.New(eng, httpapi.Config{
		Identify: func(r *http.Request, c httpapi.Credentials) (httpapi.Caller, error) {
			person := cmp.Or(r.Header.Get("X-Person"), c.Username)
			if person == "" {
				return httpapi.Caller{}, errors.New("nobody")
			}
			return httpapi.Caller{Person: person, AllScopes: true, Executor: person == "executor-1"}, nil
		},
		Heartbeat: 20 * time.Millisecond, // curl sees that nobody reads its output any more
	}))
	defer server.Close()
	tour := exec.CommandContext(t.Context(), "sh", "testdata/tour.sh", server.URL)
	tour.Env = append(os.Environ(), "LC_ALL=C", "no_proxy=*")
	text, err := tour.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	checkGolden(t, "tour.txt", string(text))
}
