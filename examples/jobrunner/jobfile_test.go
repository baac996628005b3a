package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
)

func TestParseJobFile(t *testing.T) {
	spec, err := ParseJobFile("job.json", []byte(`{
		"name": "n",
		"steps": [
			{"type": "script", "name": "s", "targets": ["a", "b/c"], "script": "true", "ignore_errors": true, "timeout": "90s"},
			{"name": "f", "files": [{"to": "x", "from": "y"}, {"content": "", "to": "z", "mode": "600"}], "targets": ["a"], "type": "file_transfer"},
			{"type": "confirmation", "name": "c", "confirmers": ["alice"], "timeout": "1h", "on_timeout": "confirm"},
			{"type": "confirmation", "name": "anyone"}
		]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	if spec.Name != "n" || len(spec.Steps) != 4 {
		t.Fatalf("spec = %+v, want n with 4 steps", spec)
	}
	script, files, ask, anyone := spec.Steps[0], spec.Steps[1], spec.Steps[2], spec.Steps[3]
	if script.Type != step.Script || script.Name != "s" || len(script.Targets) != 2 || script.Targets[1] != "b/c" ||
		!script.IgnoreErrors || script.Timeout != 90*time.Second || script.Payload != `{"script":"true"}` {
		t.Errorf("script step = %+v", script)
	}
	if want := `{"files":[{"from":"y","to":"x"},{"content":"","to":"z","mode":"600"}]}`; files.Payload != want || files.Type != step.FileTransfer {
		t.Errorf("file step = %+v, want payload %s", files, want)
	}
	if ask.Type != step.Confirmation || ask.Confirmers[0] != "alice" || ask.Timeout != time.Hour || ask.OnTimeout != step.ConfirmOnTimeout {
		t.Errorf("confirmation = %+v", ask)
	}
	if anyone.Confirmers != nil {
		t.Errorf("confirmers = %v, want nil: anyone", anyone.Confirmers)
	}
}

func TestMalformedJobFiles(t *testing.T) {
	// A job of one step with the given fields, which begin at column 24.
	job := func(fields string) string { return `{"name":"n","steps": [{` + fields + `}]}` }
	script := func(fields string) string { return job(`"type":"script","name":"s",` + fields) }
	for _, c := range []struct{ file, want string }{
		// not JSON
		{``, `j:1:1: not JSON: unexpected end of JSON input`},
		{"{\n  \"name\": \"n\",\n  \"steps\": [", `j:3:13: not JSON: unexpected end of JSON input`},
		{"{\n  \"näme\": x}", `j:2:11: not JSON: invalid character 'x' looking for beginning of value`},
		{`{"name":"n",}`, `j:1:13: not JSON: invalid character '}' looking for beginning of object key string`},
		{`{"name":"n"} {}`, `j:1:14: not JSON: invalid character '{' after top-level value`},
		{"{\"name\":\n\"\xff\"}", `j:2:2: the byte 0xff is not UTF-8`},
		{strings.Repeat("[", 30) + strings.Repeat("]", 30), `j:1:22: ` + strings.Repeat("[0]", 21) + `: nested more than 20 deep`},

		// the job
		{`[]`, `j:1:1: want an object, got a list`},
		{`null`, `j:1:1: want an object, got null`},
		{`{}`, `j:1:1: name: missing`},
		{`{"name":"n"}`, `j:1:1: steps: missing`},
		{`{"name":1,"steps":[]}`, `j:1:9: name: want a string, got a number`},
		{`{"name":"n","steps":{}}`, `j:1:21: steps: want a list, got an object`},
		{`{"name":"n","steps":[]}`, `j:1:21: steps: none: a job has at least one`},
		{`{"name":"n","name":"m","steps":[]}`, `j:1:13: name: stands there twice`},
		{`{"Name":"n","steps":[]}`, `j:1:9: Name: unknown field: want one of name, steps`},
		{`{"name":"n","a b":1}`, `j:1:19: "a b": unknown field: want one of name, steps`},
		{`{"name":"","steps":[{"type":"confirmation","name":"c"}]}`, `j:1:9: name: empty`},

		// a step
		{`{"name":"n","steps":["s"]}`, `j:1:22: steps[0]: want an object, got a string`},
		{job(``), `j:1:23: steps[0].type: missing`},
		{job(`"type":"script"`), `j:1:23: steps[0].name: missing`},
		{job(`"type":1`), `j:1:31: steps[0].type: want one of script, file_transfer, confirmation, got a number`},
		{job(`"type":"sql"`), `j:1:31: steps[0].type: want one of script, file_transfer, confirmation, got "sql"`},
		{job(`"type":"1"`), `j:1:31: steps[0].type: want one of script, file_transfer, confirmation, got "1"`},
		{job(`"type":"script","type":"script"`), `j:1:40: steps[0].type: stands there twice`},
		{script(`"target":[]`), `j:1:60: steps[0].target: unknown field: want one of confirmers, files, ignore_errors, name, on_timeout, script, targets, timeout, type`},
		{script(`"targets":["a"]`), `j:1:23: steps[0].script: missing: a script step has one`},
		{script(`"script":"true"`), `j:1:23: steps[0].targets: none: a script step has at least one`},
		{script(`"script":"true","files":[]`), `j:1:75: steps[0].files: a script step has none`},
		{script(`"script":" ","targets":["a"]`), `j:1:60: steps[0].script: empty: want the text of a shell script`},
		{script(`"script":"true","targets":["a",7]`), `j:1:82: steps[0].targets[1]: want a string, got a number`},
		{script(`"script":"true","targets":["a","b","a"]`), `j:1:86: steps[0].targets[2]: the same name as targets[0]`},
		{script(`"script":"true","targets":["../a"]`), `j:1:78: steps[0].targets[0]: "../a": want the path of a directory below the root of all targets`},
		{script(`"script":"true","targets":["a"],"ignore_errors":"yes"`), `j:1:99: steps[0].ignore_errors: want true or false, got a string`},
		{script(`"script":"true","targets":["a"],"confirmers":["alice"]`), `j:1:96: steps[0].confirmers: a script step has no confirmers`},
		{script(`"script":"true","targets":["a"],"timeout":30`), `j:1:93: steps[0].timeout: want a duration such as "30s" or "5m", got a number`},
		{script(`"script":"true","targets":["a"],"timeout":"30"`), `j:1:93: steps[0].timeout: want a duration such as "30s" or "5m", got "30"`},
		{script(`"script":"true","targets":["a"],"timeout":"-1s"`), `j:1:93: steps[0].timeout: want a duration such as "30s" or "5m", got "-1s"`},
		{script(`"script":"true","targets":["a"],"on_timeout":"confirm"`), `j:1:96: steps[0].on_timeout: a script step has no decision at its deadline`},
		{job(`"type":"confirmation","name":"c","confirmers":[]`), `j:1:70: steps[0].confirmers: empty: name at least one person, or leave the list out to let the authorizer decide alone`},
		{job(`"type":"confirmation","name":"c","confirmers":null`), `j:1:70: steps[0].confirmers: want a list, got null`},
		{job(`"type":"confirmation","name":"c","on_timeout":"skip"`), `j:1:70: steps[0].on_timeout: want one of terminate, confirm, got "skip"`},
		{job(`"type":"file_transfer","name":"f","targets":["a"],"files":[{"to":"x"}]`), `j:1:83: steps[0].files[0].from: empty, and so is content: want one of the two`},
		{job(`"type":"file_transfer","name":"f","targets":["a"],"files":[{"from":"x"}]`), `j:1:83: steps[0].files[0].to: missing`},
		{script(`"script":"true","targets":["a","b/../a"]`), `j:1:82: steps[0].targets[1]: "b/../a": want the shortest path of the directory, "a"`},
		{job(`"type":"file_transfer","name":"f","targets":["a"],"files":[{"from":"/etc/passwd","to":"x"}]`), `j:1:91: steps[0].files[0].from: "/etc/passwd": want the path of a file below the sources, such as app/app.ini`},
		{job(`"type":"file_transfer","name":"f","targets":["a"],"files":[{"from":"x","to":"../x"}]`), `j:1:100: steps[0].files[0].to: "../x": want the path of a file within the target, such as conf/app.ini`},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := ParseJobFile("j", []byte(c.file))
			if !errors.As(err, new(*FileError)) || err.Error() != c.want {
				t.Errorf("ParseJobFile(%s)\n= %v\nwant %s", c.file, err, c.want)
			}
		})
	}
}

// What the parser accepts, the engine accepts; what it does not is a FileError that
// says where.
func FuzzJobFile(f *testing.F) {
	for _, name := range []string{"release.json", "rollout.json"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"name":"n","steps":[{"type":"confirmation","name":"c","confirmers":["a"],"timeout":"1s","on_timeout":"confirm"}]}`))
	f.Add([]byte("{\"name\":\n\"\xff\"}"))
	f.Add([]byte(`{"a b":{"":[null,true,-1e9,{"x":[]}]}} x`))
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := ParseJobFile("j", data)
		if err != nil {
			bad := (*FileError)(nil)
			if !errors.As(err, &bad) {
				t.Fatalf("%T: %v", err, err)
			}
			if bad.Line < 1 || bad.Line > strings.Count(string(data), "\n")+1 || bad.Column < 1 || bad.Detail == "" {
				t.Fatalf("%+v says nothing", bad)
			}
			return
		}
		if _, err := engine.New(memstore.New()).Create(t.Context(), spec, engine.Request{}); err != nil {
			t.Fatalf("the engine refuses what was parsed: %v", err)
		}
	})
}
