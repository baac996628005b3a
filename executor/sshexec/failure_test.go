package sshexec

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The package's documentation has the table of faults as the code has it.
func TestDocumentedFaults(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, s := range statuses {
		if s.what == "" || !s.script.Valid() || !s.files.Valid() {
			t.Errorf("%+v: want words and two statuses", s)
		}
		fmt.Fprintf(&want, "//\t%-41s %-17s %s\n", s.what, s.script, s.files)
	}
	if !strings.Contains(string(text), "//\n"+want.String()+"//\n") {
		t.Errorf("doc.go has not this table:\n%s", &want)
	}
}
