package browser

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var update = flag.Bool("update", false, "write the README's pictures of the console")

// The README's pictures: the list, and the sample job after the failure.
func TestPictures(t *testing.T) {
	if testing.Short() {
		t.Skip("the pictures take time, and are for the README")
	}
	b, c := start(t), run(t)
	alice := c.client(t, "alice")
	sample := alice.job(release)
	company(alice)

	p := b.as(t, "alice", c.url)
	p.prefers("prefers-reduced-motion", "reduce")
	p.list()
	p.until(counts(map[string]int{"all": 7, "failed": 1, "running": 1, "waiting": 1, "pending": 1, "succeeded": 1, "terminated": 1, "confirmation_terminated": 1}))
	p.picture("console-list.png")

	p.job(sample.ID)
	p.shown(step.Failed, 2, step.Failed)
	p.click(target("web-3") + ` [data-output]`)
	p.shows(target("web-3"), "no space left")
	p.do("look away", evaluate(`document.activeElement.blur(), scrollTo(0, 0)`), mouseTo(0, 0))
	p.picture("console-job.png")
	p.prefers("prefers-reduced-motion", "reduce", "prefers-color-scheme", "dark")
	p.picture("console-job-dark.png")
}

// company creates more jobs beside the samples, in various states.
func company(alice client) {
	alice.t.Helper()
	who := []string{"alice", "bob"}
	hosts := []string{"db-1", "db-2", "db-3"}
	ask := spec{Type: step.Confirmation, Name: "approve", Confirmers: who}
	quick := spec{Type: step.Script, Name: "back up", Targets: hosts, Payload: `{"script": "echo done"}`}
	slow := spec{Type: step.Script, Name: "rebuild the index", Targets: hosts, Payload: `{"script": "while :; do sleep 1; done"}`}

	done := alice.create("nightly backup", quick)
	alice.until(done, comesTo(1, step.Succeeded))
	refused := alice.create("release 1.3", ask, quick)
	if _, err := alice.operate(refused, 1, operation.TerminateConfirmation); err != nil {
		alice.t.Fatal(err)
	}
	stopped := alice.create("index of the archive", slow)
	alice.must("POST", jobPath(stopped)+"/terminate", map[string]any{"reason": "not in the evening"}, nil)
	alice.until(stopped, comesTo(1, step.Terminated))
	alice.create("schema 42", quick, ask, quick)
	running := alice.create("index of the shop", quick, slow)
	alice.until(running, func(r store.Record) bool { return r.Entered == 2 })
}

// picture takes a picture of the screen, and writes it to its file under -update.
func (p *page) picture(name string) {
	p.t.Helper()
	eval[bool](p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
	text, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	drawn, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	if got := drawn.Bounds().Size(); got.X != 1280 || got.Y != 800 {
		p.t.Errorf("%s is %v, want 1280 x 800", name, got)
	}
	if len(text) < 20_000 || len(text) > 200_000 {
		p.t.Errorf("%s has %d bytes: it is empty, or too much for a README", name, len(text))
	}
	folder := p.t.ArtifactDir()
	if *update {
		folder = filepath.FromSlash("../../docs/images")
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o666); err != nil {
		p.t.Fatal(err)
	}
}
