// Package client is a client of the native HTTP API that package httpapi serves under /v1/. It
// is an executor.Source: workers on other hosts run an executor on a [Client] as one in the
// server's process runs on an engine. docs/workers.md shows how.
package client
