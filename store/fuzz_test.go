package store_test

import (
	"testing"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/store"
)

// An alphabet prints what it reads, and reads what it prints.
func FuzzAlphabets(f *testing.F) {
	for _, s := range []string{"none", "job_ended", "3", "0", "6", "01", "", "Run", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		testkit.Spell(t, s, store.Effect.Valid, nil)
	})
}

// A value that is read from JSON is written as JSON that reads the same: an exported audit, a record
// that a store keeps as JSON.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"job":1,"seq":2,"at":6,"cause":"retry_failed","request":"0198c0de-0000-7000-8000-000000000001","actor":"ann","reason":"because","step":1,"entered":0,"attempt":2,"all":false,"from":"failed","to":"running","job_from":"failed","job_to":"running","succeeded":3,"unfinished":1,"results":0,"targets":1,"effect":"run"}`,
		`{"job":1,"seq":4,"scope":{"type":"biz","id":"2"},"effect":"job_ended","step":1,"attempt":2,"all":true,"job_to":"failed","at":1,"not_before":2,"count":3,"failures":2,"delivered":true,"last_error":"\ufffd"}`,
		`{"id":9007199254740991,"name":"n","state":"abnormal","version":3,"moved":2,"current":1,"steps":1,"sealed":true}`,
		`{"id":2,"type":"confirmation","name":"ask","timeout_ns":5,"on_timeout":"confirm","confirmers":[],"state":"waiting","deadline":-1}`,
		`{"index":1,"name":"web-1","attempt":2,"success":1,"status":"non_zero_exit","exit_code":-1,"detail":"x"}`,
		`{"cause":"6"}`, `{"cause":"abnormal"}`, `{"cause":194}`, `{"cause":null}`, `{"state":8}`, `{"request":"0198c0de"}`, `{"seq":1e3}`, `{"confirmers":[null]}`, `[`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		testkit.RoundTrip[store.Record](t, data)
		testkit.RoundTrip[store.Delivery](t, data)
		testkit.RoundTrip[store.Job](t, data)
		testkit.RoundTrip[store.Step](t, data)
		testkit.RoundTrip[store.Target](t, data)
	})
}
