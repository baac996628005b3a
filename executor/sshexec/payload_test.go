package sshexec

import "testing"

// The example in an error is a valid payload.
func TestExamplePayloads(t *testing.T) {
	var script Script
	if err := read(exampleScript, &script, ""); err != nil || script.Check() != nil {
		t.Errorf("%s: %v, %v", exampleScript, err, script.Check())
	}
	var files Files
	if err := read(exampleFiles, &files, ""); err != nil || files.Check() != nil {
		t.Errorf("%s: %v, %v", exampleFiles, err, files.Check())
	}
}
