// Package httpapi serves an engine over HTTP: the calls of the reference platform, for clients
// that were written for it, and a small native API under /v1/, which its OpenAPI document
// ([OpenAPI]) describes. The embedder mounts it under its own authentication and says who asks
// ([Config].Identify); the engine decides who may do what.
//
// docs/reference.md says which requests of that platform's clients are understood, and which
// are refused though the platform takes them: 12.0 for 12, and yes or on for true.
package httpapi
