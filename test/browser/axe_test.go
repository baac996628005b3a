package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// axe is the program of axe-core, which npm brings; see docs/testing.md.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if os.IsNotExist(err) {
		return "", fmt.Errorf("axe-core is not installed: run npm install --no-package-lock --ignore-scripts in test/browser")
	}
	return string(text), err
})

// A finding is one rule of axe-core that a page breaks.
type finding struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

func (f finding) String() string {
	return fmt.Sprintf("%s: %s (%s):\n\t%s", f.Impact, f.Help, f.ID, strings.Join(f.Nodes, "\n\t"))
}

// accessible runs axe-core on the page in its present state. A serious or critical finding fails the
// test; others are logged. The page's policy forbids foreign scripts, but not those that the debugger
// evaluates.
func (p *page) accessible(what string) {
	p.t.Helper()
	program, err := axe()
	if err != nil {
		refuse(p.t, err)
	}
	if !eval[bool](p, `"axe" in window`) {
		p.do("axe-core", evaluate(program))
	}
	for _, f := range eval[[]finding](p, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => ({
		id: v.id, impact: v.impact ?? "", help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200) + " " + (n.any[0]?.message ?? ""))
	})))`) {
		switch f.Impact {
		case "serious", "critical":
			p.t.Errorf("%s: %v", what, f)
		default:
			p.t.Logf("%s: %v", what, f)
		}
	}
}

// axe-core finds planted mistakes, so it would find those of the console.
func TestAxe(t *testing.T) {
	p := start(t).profile(t, "about:blank")
	p.open("")
	program, err := axe()
	if err != nil {
		refuse(t, err)
	}
	p.do("axe-core", evaluate(program))
	got := eval[string](p, `(document.body.innerHTML = "<img src=''>", axe.run(document).then(r => r.violations.map(v => v.id + " " + v.impact).join()))`)
	if !strings.Contains(got, "image-alt critical") {
		t.Errorf("an image without words: %s, want image-alt critical among them", got)
	}
}
