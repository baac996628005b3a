// Package httpapi serves an engine over HTTP: the calls of the reference platform, for clients
// that were written for it, and a small native API under /v1/, which its OpenAPI document
// ([OpenAPI]) describes. The embedder mounts it under an authentication of his own and says
// who asks ([Config].Identify); who may do what is the engine's to decide.
package httpapi
