// Package openapi holds the OpenAPI document of the native API and what the API does together,
// by traffic: every answer fits its schema, every status, reason and property of the document
// is seen, and what a schema does not take the API does not take either.
package openapi
