package browser

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A page is a tab of a browser, in a window of its own: a browser does not draw a hidden tab. An error
// on its console, an uncaught exception or a breach of the content security policy fails the
// test.
type page struct {
	t      *testing.T
	ctx    context.Context
	origin string
	person string
	id     int64 // among the pages of this process

	mu      sync.Mutex // guards all below
	wrong   []string   // complaints of the page
	allowed []string   // parts of complaints that the story causes
}

// watcher runs in every document, before the document's own scripts.
const watcher = `addEventListener("securitypolicyviolation",
	e => console.error("content security policy: " + e.violatedDirective + " forbids " + e.blockedURI + " " + e.sample))`

var pages atomic.Int64

func newPage(t *testing.T, browser context.Context, origin string, options ...chromedp.ContextOption) *page {
	t.Helper()
	p := &page{t: t, origin: origin, person: "nobody", id: pages.Add(1)}
	options = append(options, chromedp.WithNewWindow(true), chromedp.WithListener(p.listen))
	ctx, cancel := chromedp.NewContext(browser, options...)
	p.ctx = ctx
	t.Cleanup(cancel)
	t.Cleanup(p.judge)
	p.always(watcher)
	p.resize(1280, 800)
	return p
}

// another opens a second tab of the same person in the same browser.
func (p *page) another() *page {
	p.t.Helper()
	other := newPage(p.t, p.ctx, p.origin)
	other.person = p.person
	return other
}

// listen collects the page's complaints.
func (p *page) listen(event any) {
	var wrong string
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.ConsoleAPICalledTypeError && e.Type != runtime.ConsoleAPICalledTypeAssert {
			return
		}
		for _, arg := range e.Args {
			wrong += " " + cmp.Or(strings.Trim(string(arg.Value), `"`), arg.Description)
		}
		wrong = "console." + string(e.Type) + ":" + wrong
	case *runtime.EventExceptionThrown:
		wrong = "uncaught: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			wrong += " " + e.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelError {
			return
		}
		wrong = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, wrong)
}

// allow says that complaints which contain part belong to the story.
func (p *page) allow(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, part)
}

// judge fails the test for every complaint that is not allowed. With -artifacts it keeps a
// picture of a page whose test has failed.
func (p *page) judge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, wrong := range p.wrong {
		if !slices.ContainsFunc(p.allowed, func(part string) bool { return strings.Contains(wrong, part) }) {
			p.t.Errorf("%s's page: %s", p.person, wrong)
		}
	}
	if keep := flag.Lookup("test.artifacts"); !p.t.Failed() || keep == nil || keep.Value.String() != "true" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		file := filepath.Join(p.t.ArtifactDir(), fmt.Sprintf("failed-%s-%d.png", p.person, p.id))
		p.t.Logf("%s's page: %s: %v", p.person, file, os.WriteFile(file, picture, 0o666))
	}
}

// do runs actions, and fails the test if one does not pass in time.
func (p *page) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := p.try(actions...); err != nil {
		p.t.Fatalf("%s's page: %s: %v", p.person, what, err)
	}
}

func (p *page) try(actions ...chromedp.Action[chromedp.Void]) error {
	if err := chromedp.Do(p.ctx); err != nil { // the first call opens the tab, which ends with its context
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

// always makes every document that p opens from now on begin with a script.
func (p *page) always(script string) {
	p.t.Helper()
	p.do("always", func(ctx context.Context, s *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, s, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return chromedp.Void{}, err
	})
}

// open goes to a path of the console.
func (p *page) open(path string) {
	p.t.Helper()
	p.do("open "+path, chromedp.Navigate(p.origin+path))
}

func (p *page) reload() {
	p.t.Helper()
	p.do("reload", chromedp.Reload())
}

func (p *page) setCookie(name, value string) {
	p.t.Helper()
	p.do("cookie", command(network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: p.origin}))
}

func (p *page) resize(width, height int64) {
	p.t.Helper()
	p.do("resize", chromedp.EmulateViewport(width, height))
}

// prefers emulates settings of the system: pairs of a media feature and a value.
func (p *page) prefers(features ...string) {
	p.t.Helper()
	var all []*emulation.MediaFeature
	for pair := range slices.Chunk(features, 2) {
		all = append(all, &emulation.MediaFeature{Name: pair[0], Value: pair[1]})
	}
	p.do("prefer", command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: all}))
}

// command makes an action of a command of the protocol and ignores the answer.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, s *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, s, c, params)
		return chromedp.Void{}, err
	}
}

// eval returns the value of an expression, or of the promise that it is.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	value, err := tryEval[T](p, expression)
	if err != nil {
		p.t.Fatalf("%s's page: %s: %v", p.person, short(expression), err)
	}
	return value
}

func tryEval[T any](p *page, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience+10*time.Second)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits until an expression is truthy. It is tried again with every change of the
// document and, for what changes without one, every 50 ms.
func (p *page) until(expression string) {
	p.t.Helper()
	if err := p.tryUntil(expression); err != nil {
		text, _ := tryEval[string](p, `document.body.innerText`)
		p.t.Fatalf("%s's page: %v; it shows:\n%s", p.person, err, text)
	}
}

func (p *page) tryUntil(expression string) error {
	const wait = `(async () => {
		const end = performance.now() + %d
		for (;;) {
			if (%s) return true
			if (performance.now() > end) return false
			await new Promise(go => {
				const seen = new MutationObserver(done)
				const timer = setTimeout(done, 50)
				function done() { seen.disconnect(); clearTimeout(timer); go() }
				seen.observe(document, {subtree: true, childList: true, attributes: true, characterData: true})
			})
		}
	})()`
	for end := time.Now().Add(patience); ; {
		left := time.Until(end)
		ok, err := tryEval[bool](p, fmt.Sprintf(wait, left.Milliseconds(), expression))
		switch {
		case ok:
			return nil
		case err == nil, left <= 0:
			return fmt.Errorf("it never came to: %s", expression)
		case !replaced(err):
			return fmt.Errorf("%s: %w", short(expression), err)
		}
	}
}

// replaced reports whether an evaluation failed because another document replaced its own.
func replaced(err error) bool {
	return strings.Contains(err.Error(), "navigated") || strings.Contains(err.Error(), "xecution context")
}

// text returns what a person reads in an element.
func (p *page) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`document.querySelector(%s)?.innerText ?? "(there is no %s)"`, quote(selector), strings.ReplaceAll(selector, `"`, "'")))
}

// shows waits until an element that a person can see contains a text.
func (p *page) shows(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll(%s)].some(e => e.checkVisibility({visibilityProperty: true, opacityProperty: true}) && e.innerText.includes(%s))`, quote(selector), quote(text)))
}

// sees waits until a person can see an element.
func (p *page) sees(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%s)?.checkVisibility()`, quote(selector)))
}

// quote writes a string as JavaScript reads it.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // of a string, never
	}
	return string(text)
}

func short(expression string) string {
	expression = strings.Join(strings.Fields(expression), " ")
	if len(expression) > 120 {
		return expression[:120] + "..."
	}
	return expression
}

// evaluate makes an action of an expression whose value does not matter.
func evaluate(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](expression)
}
