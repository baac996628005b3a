// Package httpapi serves an engine over HTTP: the calls of the reference platform for its
// existing clients, and a small native API under /v1/, described by an OpenAPI document
// ([OpenAPI]). The embedder authenticates each request ([Config].Identify); the engine
// authorizes it. Clients do not see the causes of failures: [Config].Failed receives them.
//
// docs/reference.md lists the requests of that platform's clients that the API accepts, and the
// few that the platform accepts and the API refuses: 12.0 for 12, and yes or on for true.
package httpapi
