package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A console that is told to end does so although a client follows a job, and takes its
// temporary directory along.
func TestItBeginsAndEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- options{addr: "127.0.0.1:0", store: "memory"}.run(ctx, write)
		_ = write.Close()
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("it says nothing: %v, %v", err, <-ended)
	}
	said := regexp.MustCompile(`^The console is at (http://127\.0\.0\.1:[1-9][0-9]*)/ \(jobs in memory, files in (.*)\)\n$`).FindStringSubmatch(line)
	if said == nil {
		t.Fatalf("it says %q", line)
	}
	url, dir := said[1], said[2]
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	signedIn, err := client.Post(url+"/session", "application/json", strings.NewReader(`{"person":"carol"}`))
	if err != nil || signedIn.StatusCode != http.StatusOK {
		t.Fatalf("signing in: %v, %v", signedIn, err)
	}
	_ = signedIn.Body.Close()
	jobs, err := client.Get(url + "/v1/jobs?limit=1")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(jobs.Body)
	_ = jobs.Body.Close()
	id := regexp.MustCompile(`"id":([0-9]+)`).FindSubmatch(page)
	if err != nil || id == nil {
		t.Fatalf("the jobs are %s, %v", page, err)
	}
	events, err := client.Get(fmt.Sprintf("%s/v1/jobs/%s/events", url, id[1]))
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	stream := bufio.NewScanner(events.Body)
	for stream.Scan() && !strings.HasPrefix(stream.Text(), "data:") { // until something has come
	}

	stop()
	for stream.Scan() { // to its end
	}
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestADirectoryOfOnesOwnIsKept(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop() // at once
	dir := filepath.Join(t.TempDir(), "console")
	st := filepath.Join(t.TempDir(), "jobs.db")
	for range 2 {
		_ = options{addr: "127.0.0.1:0", store: "sqlite:" + st, dir: dir}.run(ctx, io.Discard)
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("-dir %s is not there afterwards: %v", dir, err)
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, args := range [][]string{{"-listen", "x"}, {"sqlite:jobs.db"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	for _, name := range []string{"", "disk", "sqlite", "sqlite:", "postgres", "postgres:", "memory:x", "mysql:user:secret@/db"} {
		_, _, err := openStore(t.Context(), name)
		if err == nil {
			t.Errorf("-store %q is taken", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("-store %q: the error tells a password: %v", name, err)
		}
	}
	if got := storeName("postgres://user:secret@host/db"); got != "postgres" {
		t.Errorf("a DSN is shown as %q, want postgres", got)
	}
	err := options{addr: "256.0.0.1:0", store: "memory"}.run(t.Context(), io.Discard)
	if err == nil {
		t.Error("it listens on an address that there is not")
	}
}
