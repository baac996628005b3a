package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/httpapi"
)

//go:embed static
var static embed.FS

// newSite returns the handler of the whole console.
func newSite(eng *engine.Engine, logs executor.Logs, addr string) http.Handler {
	mux := http.NewServeMux()
	api := httpapi.New(eng, httpapi.Config{Identify: identify})
	mux.Handle("/v1/", api)
	mux.Handle("/api/", api)
	mux.HandleFunc("GET /session", getSession)
	mux.HandleFunc("POST /session", postSession)
	mux.HandleFunc("GET /output", outputs{eng, logs}.get)
	page := files()
	for name, f := range page {
		mux.Handle("GET /static/"+name, f)
	}
	mux.Handle("GET /{$}", page["index.html"]) // the page reads its own address
	none := page["index.html"].withStatus(http.StatusNotFound)
	mux.HandleFunc("GET /jobs/{job}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := strconv.ParseUint(r.PathValue("job"), 10, 64); err != nil {
			none.ServeHTTP(w, r)
			return
		}
		page["index.html"].ServeHTTP(w, r)
	})
	mux.Handle("/static/", http.NotFoundHandler())
	mux.Handle("/", none)
	return guard(addr, http.NewCrossOriginProtection().Handler(mux))
}

// A file is a file of the page, ready to serve.
type file struct {
	name, kind, etag string
	data             []byte
}

// files returns the files of the page by name. It panics if the program was built without them.
func files() map[string]file {
	all := map[string]file{}
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := static.ReadFile(name)
		sum := sha256.Sum256(data)
		name = strings.TrimPrefix(name, "static/")
		all[name] = file{
			name: name, kind: kinds[path.Ext(name)], data: data,
			etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	return all
}

// kinds are the media types of the page's files. The machine's own table may differ.
var kinds = map[string]string{
	".html": mime.FormatMediaType("text/html", map[string]string{"charset": "utf-8"}),
	".js":   mime.FormatMediaType("text/javascript", map[string]string{"charset": "utf-8"}),
	".css":  mime.FormatMediaType("text/css", map[string]string{"charset": "utf-8"}),
	".svg":  "image/svg+xml",
}

// withStatus returns a handler that serves f with a status other than 200.
func (f file) withStatus(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", f.kind)
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(f.data)
	})
}

// ServeHTTP serves f. Browsers revalidate their copy each time: page and server are always of one
// build.
func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.data))
}
