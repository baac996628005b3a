// Package status has a client of the reference platform poll the status of jobs with many short
// steps while these run, on every store: each answer must be a success, and of one moment.
package status
