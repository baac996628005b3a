package browser

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

const variable = "STEPGATE_CHROMIUM"

// errNone: there is no Chromium. One that fails to start is another error.
var errNone = errors.New("no Chromium")

// find returns the program named by STEPGATE_CHROMIUM, or the first that is installed.
func find() (string, error) {
	if given := os.Getenv(variable); given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("%s: %w", variable, err)
		}
		return path, nil
	}
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: none is installed, and %s is not set", errNone, variable)
}

// refuse skips t, or fails it if CI=true is set: err says which program is missing.
func refuse(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "true" {
		t.Skipf("browser: %v", err)
	}
	t.Fatalf("browser: %v", err)
}

// A chromium is a browser with a profile of its own, shared by the tests of this process.
type chromium struct {
	ctx context.Context
	end func() error
}

// begun is the browser, once a test has asked for it.
var begun *chromium

// launch starts a browser. It talks through a pipe, and ends when the process at the other end
// does, killed or not.
var launch = sync.OnceValues(func() (*chromium, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // root has none; the browser shows the console's pages only
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("font-render-hinting", "none"),
		chromedp.Flag("lang", "en-US"),
	)
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &chromium{ctx: ctx, end: func() error {
		defer release()
		defer cancel()
		return chromedp.Cancel(ctx)
	}}
	if err := chromedp.Do(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not start: %w", path, err), b.end())
	}
	begun = b
	return b, nil
})

// start returns the browser.
func start(t *testing.T) *chromium {
	t.Helper()
	b, err := launch()
	if errors.Is(err, errNone) {
		refuse(t, err)
	}
	if err != nil {
		t.Fatalf("browser: %v", err)
	}
	return b
}

// profile opens a page in a profile of its own, without the cookies of other persons.
func (b *chromium) profile(t *testing.T, origin string) *page {
	t.Helper()
	return newPage(t, b.ctx, origin, chromedp.WithNewBrowserContext())
}

// cookie is the name of the cookie in which the console keeps the demo's person.
const cookie = "stepgate-console-person"

// as opens a page as a person of the demo.
func (b *chromium) as(t *testing.T, person, origin string) *page {
	t.Helper()
	p := b.profile(t, origin)
	p.person = cmp.Or(person, "alice")
	p.setCookie(cookie, p.person)
	return p
}
