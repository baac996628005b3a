// Package docs runs the commands that the README and the pages of docs show, as they are printed,
// in a fresh copy of the repository: those that internal/pages lists as run here.
package docs
