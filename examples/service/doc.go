// Service is a whole service in less than 60 lines, main.go: a step type of its own, jobs in a SQLite file,
// an executor, and the HTTP API for callers with a token. From the repository's root:
//
//	go run ./examples/service [flags]
//
//	-addr ADDR  the address to listen on; the default is 127.0.0.1:8080
//	-db FILE    the SQLite file of the jobs, created if it does not exist; the default is jobs.db
//
// A step of type http_check does a GET of http://TARGET + PAYLOAD for each of its targets: the payload is
// a path, as /healthz, and an answer other than 200 fails the target.
//
// On SIGINT or SIGTERM the program stops to accept requests, answers those that have begun, waits up to
// 10 s for the checks at work, and closes the store. Steps that are left go on when it starts again.
//
// The two tokens are constants of the program: replace them before another person can reach it. docs/operate.md
// reads them from a file.
// tour.sh shows the API with curl against it, and docs/http.md explains the calls.
package main
