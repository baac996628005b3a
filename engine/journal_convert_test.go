package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stepgate/stepgate/step"
)

// The first journal is of the time before causes: a record had a kind and a code, a job code or
// an event, a rule one of these and no consequence, and a header no time of its last record.
// This file converts such files to the format of today's version, as the migration of a database
// does. It lists all that has changed.

const first = "first" // in journals: the folder from before causes

// An object is one of a JSON file; its numbers are kept as they are written.
type object = map[string]any

// converted returns the file of the first journal called name as today's version has it.
func converted(t *testing.T, name string, file []byte) []byte {
	t.Helper()
	var then object
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	if err := d.Decode(&then); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	switch name {
	case "rules.json":
		convertRules(t, then)
	case "alphabets.json":
		convertAlphabets(t, then)
	default:
		history := then["history"].([]any)
		runs := map[string]any{} // by step: the attempt that last covered all targets
		for _, rec := range history {
			convertRecord(t, rec.(object), runs)
		}
		types := map[string]any{}
		for _, s := range then["steps"].([]any) {
			s := s.(object)
			if types[fmt.Sprint(s["id"])] = s["type"]; fmt.Sprint(s["full"]) == "0" {
				s["full"] = 1 // of a step that has not begun
			}
		}
		effects, _ := then["effects"].([]any)
		for _, e := range effects {
			e := e.(object)
			e["type"], e["run"] = types[fmt.Sprint(e["step"])], history[number(t, e["seq"])-1].(object)["run"]
			if history[number(t, e["seq"])-1].(object)["entered"] == e["step"] {
				e["run"] = object{"full": 1}
			}
			drop(e, "all")
			for _, key := range []string{"cause", "actor", "reason"} {
				if said, ok := history[number(t, e["seq"])-1].(object)[key]; ok {
					e[key] = said
				}
			}
		}
		then["job"].(object)["updated"] = history[len(history)-1].(object)["at"]
	}
	data, err := json.Marshal(then)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// causeOf returns the cause of a record, from the field that its kind selects.
func causeOf(t *testing.T, rec object) step.Cause {
	t.Helper()
	switch kind := rec["kind"]; {
	case kind == "created":
		return step.Created
	case kind == "operated":
		return parsed(t, rec["code"])
	case kind == "job_operated":
		return parsed(t, rec["job_code"])
	case kind == "reported" && rec["event"] == nil:
		return step.Results
	case kind == "reported", kind == "expired":
		return parsed(t, rec["event"])
	}
	t.Fatalf("a record is of kind %v", rec["kind"])
	return 0
}

func parsed(t *testing.T, name any) step.Cause {
	t.Helper()
	cause, err := step.ParseCause(fmt.Sprint(name))
	if err != nil {
		t.Fatal(err)
	}
	return cause
}

func convertRecord(t *testing.T, rec object, runs map[string]any) {
	t.Helper()
	rec["cause"] = causeOf(t, rec)
	of := fmt.Sprint(rec["step"])
	if runs[of] == nil {
		runs[of] = 1
	}
	if rec["all"] == true && fmt.Sprint(rec["entered"]) == "0" {
		runs[of] = rec["attempt"]
	}
	rec["run"] = object{"full": runs[of]}
	drop(rec, "kind", "code", "job_code", "event", "all")
}

func number(t *testing.T, n any) int64 {
	t.Helper()
	i, err := n.(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func drop(o object, keys ...string) {
	for _, key := range keys {
		delete(o, key)
	}
}

// convertRules gives every row the consequence that used to follow from the state that it led to,
// and makes one list of the rows on steps and those on jobs.
func convertRules(t *testing.T, rules object) {
	t.Helper()
	for _, kind := range rules["kinds"].([]any) {
		for _, r := range kind.(object)["lifecycle"].([]any) {
			row := r.(object)
			cause := parsed(t, row["on"])
			row["cause"], row["do"] = cause, doOf(cause, row)
			drop(row, "on")
		}
	}
	rows := rules["rows"].([]any)
	for _, row := range rules["job"].([]any) {
		row.(object)["guard"] = "none"
		rows = append(rows, row)
	}
	for _, r := range rows {
		row := r.(object)
		cause := parsed(t, row["code"])
		row["cause"], row["do"] = cause, doOf(cause, row)
		drop(row, "code")
	}
	rules["rows"] = rows
	drop(rules, "job")
}

// doOf returns what used to follow from where a row led.
func doOf(cause step.Cause, row object) step.Do {
	from := row["from"].([]any)
	switch to := row["to"]; {
	case slices.Contains(from, any("pending")):
		return step.Enter
	case to == "running" && row["guard"] == "due_only":
		return step.RunDue
	case to == "running":
		return step.RunAll
	case to == "waiting":
		return step.Ask
	case to == "terminating":
		return step.Stop
	case to == "succeeded" && row["guard"] == "confirmer_only":
		return step.Vote
	case to == "error_ignored", cause == step.AllSucceeded && to == "succeeded":
		return step.Accept
	case to == "succeeded", to == "skipped":
		return step.Pass
	}
	return step.End
}

// convertAlphabets makes one alphabet of codes, job codes and events, and drops the names of
// zero values, which are empty now.
func convertAlphabets(t *testing.T, words object) {
	t.Helper()
	causes := object{}
	for alphabet, base := range map[string]int{"operation code": 0, "event": 64, "job operation code": 128} {
		for number, name := range words[alphabet].(object) {
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			cause := parsed(t, name)
			if int(cause) != base+n {
				t.Errorf("%s %d, %v, is the cause %d", alphabet, n, name, cause)
			}
			causes[strconv.Itoa(base+n)] = cause.String()
		}
		drop(words, alphabet)
	}
	words["cause"] = causes
	drop(words, "record kind")
	guards := words["guard"].(object)
	guards["1"], guards["2"] = "some_due", "approver"
	for _, alphabet := range []string{"effect", "guard", "timeout decision", "target status"} {
		drop(words[alphabet].(object), "0")
	}
}

// The converted records of the first journal have the right causes: a cause has the number of its
// code, job code or event, in one alphabet.
func TestTheCauseOfAnEarlierRecord(t *testing.T) {
	for want, rec := range map[step.Cause]object{
		192:     {"kind": "created"},
		193:     {"kind": "reported"},
		2:       {"kind": "operated", "code": "retry_failed"},
		40:      {"kind": "operated", "code": "custom-40"},
		128 + 2: {"kind": "job_operated", "job_code": "start_job"},
		64 + 6:  {"kind": "reported", "event": "abnormal"},
		64 + 7:  {"kind": "reported", "event": "abandoned"},
		64 + 8:  {"kind": "expired", "event": "expired"},
	} {
		if got := causeOf(t, rec); got != want {
			t.Errorf("the cause of %v is %v (%d), want %d", rec, got, got, want)
		}
	}
}
