// Package status polls the status of running jobs with many short steps, as a client of the reference
// platform does, on every store. Each answer must be a success, and show the job at one moment.
package status
