// Package openapi compares the OpenAPI document of the native API with real traffic: every answer
// fits its schema, every status, reason and property of the document occurs, and the API refuses each
// body that the schema refuses.
package openapi
