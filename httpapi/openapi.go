package httpapi

import (
	_ "embed"
	"slices"
)

//go:embed openapi.json
var document []byte

// OpenAPI returns the OpenAPI 3.1 document of the native API, which the API also serves at
// /v1/openapi.json. The caller owns the result.
func OpenAPI() []byte { return slices.Clone(document) }

func (c *call) openAPI() (reply, error) {
	return reply{stream: func() { c.api.send(c.w, 200, "application/json", document) }}, nil
}
