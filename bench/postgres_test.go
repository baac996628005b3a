package main

import (
	"strings"
	"testing"
)

// What is wrong with a connection string is told without the password in it.
func TestPasswordsAreNotTold(t *testing.T) {
	for _, dsn := range []string{"postgres://ann:sentinel@db.example:port/jobs", "host='" + t.TempDir() + "' user=ann password=sentinel"} {
		got, err := findServer(t.Context(), dsn)
		if err == nil || got != "" || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("findServer: %q, %v", got, err)
		}
	}
}

func TestPgbenchSample(t *testing.T) {
	got, err := pgbenchSample([]byte(`pgbench (15.20)
progress: 1.0 s, 12.0 tps, lat 0.436 ms stddev 0.118, 0 failed
progress: 2.0 s, 2345.6 tps, lat 0.436 ms stddev 0.118, 0 failed
tps = 1234.5 (without initial connection time)
`))
	if err != nil || got.perSecond != 2345.6 {
		t.Errorf("pgbenchSample = %+v, %v", got, err)
	}
	for _, out := range []string{"nothing", "progress: 2.0 s, 0.0 tps, lat 0.000 ms stddev 0.000, 0 failed"} {
		if got, err := pgbenchSample([]byte(out)); err == nil {
			t.Errorf("pgbenchSample makes %+v of %q", got, out)
		}
	}
}
