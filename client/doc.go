// Package client is a client of the native HTTP API that package httpapi serves under /v1/. A
// [Client] is an executor.Source: a worker on another host runs an executor on a Client, as the
// server's process runs one on an engine. docs/workers.md shows how.
package client
